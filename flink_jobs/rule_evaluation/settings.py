"""The job's settings. Read when the job is submitted, and carried to the operators with it."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class JobSettings(BaseSettings):
    """Read from variables with the prefix ``AUDIENCE_``, for example ``AUDIENCE_KAFKA_BOOTSTRAP_SERVERS``."""

    model_config = SettingsConfigDict(env_prefix="AUDIENCE_", frozen=True, extra="ignore")

    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    consumer_group: str = "rule-evaluation"
    python_execution_mode: Literal["thread", "process"] = "thread"
    """`process` runs Python beside the TaskManager, for where it cannot be loaded into a JVM: slower by a multiple."""
    keying: Literal["java", "python"] = "java"
    """`python` keys by PyFlink's public interface, for where `keying` fails with another Flink: one more crossing an
    event."""
    parallelism: int = 2
    max_parallelism: int = 128
    checkpoint_interval_ms: int = 5_000
    """Effects do not wait for a checkpoint; a restart repeats what came after the last one. With the heap backend each
    one writes the whole state."""
    buffer_timeout_ms: int = 10
    """How long a record may wait for others before it goes from one operator to the next: Flink's 100 ms were most of
    the time from an event to its membership."""
    sink_linger_ms: int = 20
    """How long records wait for others on their way to Kafka. Each request costs the broker as much as many records,
    and each one that it takes is one more that every reader is given."""
    sink_compression: Literal["none", "lz4", "zstd", "snappy"] = "lz4"
    profile_retention_days: int = Field(default=730, ge=1, le=3_650)
    """For how long a profile is kept of which nothing is heard. The stores are told the same."""
    cached_profiles: int = 50_000
    """How many profiles each operator keeps decoded; a profile outside is read from Flink's state again."""
