"""Settings that every service has. Built once in a service's `__main__` and passed in; never read at import."""

from typing import Literal

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Environment = Literal["local", "demo", "production"]


class ServiceSettings(BaseSettings):
    """Read from variables with the prefix ``AUDIENCE_``, for example ``AUDIENCE_KAFKA_BOOTSTRAP_SERVERS``."""

    model_config = SettingsConfigDict(env_prefix="AUDIENCE_", frozen=True, extra="ignore")

    environment: Environment = "local"
    host: str = "127.0.0.1"
    port: int
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    postgres_dsn: SecretStr
