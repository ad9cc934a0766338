"""The profile store that an install has: Aerospike where its hosts are set, PostgreSQL otherwise."""

from contextlib import AsyncExitStack
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from audience.adapters.postgres.pool import Pool
from audience.adapters.postgres.profile_store import PostgresProfileStore
from audience.ports.stores import ProfileStore
from services._kit.settings import ServiceSettings

DAY_S = 24 * 60 * 60


def _hosts(text: str) -> str:
    for host in filter(None, text.split(",")):
        name, _, port = host.rpartition(":")
        if not name or not port.isdigit():
            raise ValueError(f"{host!r} is not of the form host:port")
    return text


class ProfileStoreSettings(ServiceSettings):
    """Where profiles are kept for reading."""

    aerospike_hosts: Annotated[str, AfterValidator(_hosts)] = Field(default="", validation_alias="AEROSPIKE_HOSTS")
    """``host:port,host:port``; empty: profiles lie in PostgreSQL."""

    aerospike_user: str = Field(default="", validation_alias="AEROSPIKE_USER")
    """Empty: the server asks for no login."""
    aerospike_password: SecretStr = Field(default=SecretStr(""), validation_alias="AEROSPIKE_PASSWORD")

    profile_retention_days: int = Field(default=730, ge=1, le=3_650)
    """How long Aerospike keeps a profile after its last change."""


async def open_profile_store(stack: AsyncExitStack, settings: ProfileStoreSettings, pool: Pool) -> ProfileStore:
    """The store, closed by `stack`. Connects in the background: it may be away when a service starts."""
    hosts = [(name, int(port)) for name, _, port in (host.rpartition(":") for host in _listed(settings))]
    if not hosts:
        return PostgresProfileStore(pool)
    from audience.adapters.aerospike.profile_store import open_aerospike_profile_store

    user, password = settings.aerospike_user, settings.aerospike_password.get_secret_value()
    return await stack.enter_async_context(
        open_aerospike_profile_store(
            hosts, retention_s=settings.profile_retention_days * DAY_S, login=(user, password) if user else None
        )
    )


def _listed(settings: ProfileStoreSettings) -> list[str]:
    return [host for host in settings.aerospike_hosts.split(",") if host]
