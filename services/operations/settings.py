"""Where the platform's parts are, for one command."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services._kit.settings import Environment


class OperationsSettings(BaseSettings):
    """Read from the variables that the services read, with the prefix ``AUDIENCE_``."""

    model_config = SettingsConfigDict(env_prefix="AUDIENCE_", frozen=True, extra="ignore")

    environment: Environment = "local"
    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    postgres_dsn: SecretStr
    ingest_url: str = Field(default="http://127.0.0.1:8081", pattern=r"^https?://[^/?#\s]+$")
    flink_url: str = Field(default="http://127.0.0.1:8091", pattern=r"^https?://[^/?#\s]+$")
    topic_partitions: int = Field(default=8, ge=1)
    topic_replicas: int = Field(default=1, ge=1)
