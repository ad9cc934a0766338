"""Settings that every service has. Built once in a service's `__main__` and passed in; never read at import."""

from pathlib import Path
from typing import Literal, Self

from pydantic import SecretStr, model_validator
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
    """``host:port,…`` or ``ssl://host:port,…?ca=FILE&certificate=FILE&key=FILE``: `audience.adapters.kafka.address`."""
    postgres_dsn: SecretStr

    tls_certificate: Path | None = None
    """A PEM file with the certificate and those that signed it; with `tls_key`, the service speaks TLS alone."""
    tls_key: Path | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together")
        return self
