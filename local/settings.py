"""What can be set of the platform on one machine: variables that begin with ``AUDIENCE_LOCAL_``.

Refuses a variable with that prefix that it does not know, since a misspelt one would otherwise do nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX: Final = "AUDIENCE_LOCAL_"
ROOT: Final = Path(__file__).resolve().parent.parent
"""The checkout. Parts start in it, and its virtual environments are theirs."""

PortNumber = Annotated[int, Field(ge=1, le=65535)]
PORT_FIELDS: Final = (
    "kafka_port",
    "kafka_controller_port",
    "postgres_port",
    "flink_rest_port",
    "flink_rpc_port",
    "ingest_port",
    "segments_port",
    "projection_port",
)


class SettingsError(Exception):
    """The environment holds something that cannot be meant; the message says what to change."""


class LocalSettings(BaseSettings):
    """Built once when a command starts, and passed on. `port` gives the ports with the offset."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    data: Path = Path(".data")
    """The folder of everything that the parts keep; relative to the checkout."""
    port_offset: int = 0
    """Added to every port, so that a second platform can run beside the first."""
    kafka_port: PortNumber = 9092
    kafka_controller_port: PortNumber = 9093
    postgres_port: PortNumber = 15432
    """Not PostgreSQL's own 5432, which a system's server often holds."""
    flink_rest_port: PortNumber = 8091
    flink_rpc_port: PortNumber = 6123
    ingest_port: PortNumber = 8081
    segments_port: PortNumber = 8082
    projection_port: PortNumber = 8083

    postgres_password: SecretStr = SecretStr("audience-local")
    """For this machine's processes alone: the server listens on 127.0.0.1."""
    kafka_heap_mb: int = Field(default=800, ge=128)
    taskmanager_memory_mb: int = Field(default=1000, ge=600)
    jit: Literal["quick", "full"] = "quick"
    """Full: Kafka and the TaskManagers compile twice, for hours of load; it costs most of their first minutes."""
    state_backend: Literal["hashmap", "rocksdb"] = "hashmap"
    checkpoint_interval_ms: int = Field(default=5000, ge=100)
    execution_mode: Literal["thread", "process"] = "thread"
    """Where the job's Python runs: in the TaskManagers' JVMs, or in processes beside them."""
    job: Path = Path("flink_jobs/rule_evaluation/__main__.py")
    """The streaming job that is kept running; relative to the checkout."""
    job_name: str = "rule_evaluation"
    services: bool = True
    """Off: Kafka, PostgreSQL and Flink alone, for tests of `local` itself."""
    sample: bool = True
    """Off: `up` starts the platform and sends no sample history."""
    start_timeout_s: float = Field(default=180.0, gt=0)
    """How long a part may take to become healthy. Far above what it needs, for a machine that is busy otherwise."""

    @model_validator(mode="after")
    def _ports_fit(self) -> Self:
        numbers = {name: self.port(name) for name in PORT_FIELDS}
        for name, number in numbers.items():
            if not 1 <= number <= 65535:
                raise ValueError(f"{name} with the offset {self.port_offset} is {number}, which is no port")
        if len(set(numbers.values())) != len(numbers):
            raise ValueError(f"two ports are the same: {numbers}")
        return self

    def port(self, field: str) -> int:
        """The port of a field (``kafka_port``) with the offset."""
        number: int = getattr(self, field)
        return number + self.port_offset

    @property
    def data_folder(self) -> Path:
        """`data` as an absolute path."""
        return (ROOT / self.data.expanduser()).resolve()


def variable(field: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + field.upper()


def load(environ: Mapping[str, str]) -> LocalSettings:
    """The settings of this environment. Raises SettingsError with every fault in words."""
    known = {variable(field) for field in LocalSettings.model_fields}
    unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise SettingsError(f"unknown: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    try:
        return LocalSettings()
    except ValidationError as error:
        faults = "; ".join(
            f"{variable(str(fault['loc'][0])) if fault['loc'] else 'ports'}: {fault['msg']}" for fault in error.errors()
        )
        raise SettingsError(faults) from error
