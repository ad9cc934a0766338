"""Where a platform is, for tests that only call it: one of `make up`, or any other, told by variables."""

import os
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import pytest

PREFIX = "AUDIENCE_TEST_"


class Addresses(Protocol):
    """What a black-box test needs to know."""

    @property
    def ingest_url(self) -> str: ...
    @property
    def segments_url(self) -> str: ...
    @property
    def kafka_bootstrap(self) -> str: ...
    @property
    def postgres_dsn(self) -> str: ...
    @property
    def write_key(self) -> str: ...
    @property
    def api_token(self) -> str: ...


@dataclass(frozen=True, slots=True)
class OtherPlatform:
    """A platform that somebody else runs. A test that wants to stop or look into its processes is skipped."""

    ingest_url: str
    segments_url: str
    kafka_bootstrap: str
    postgres_dsn: str
    write_key: str = "demo-write-key"
    api_token: str = "demo-api-token"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        _not_ours(name)


def _not_ours(name: str) -> NoReturn:
    pytest.skip(f"the platform under test is not ours to do this with: {name}")


def from_environment() -> OtherPlatform | None:
    """AUDIENCE_TEST_INGEST_URL, _SEGMENTS_URL, _KAFKA_BOOTSTRAP and _POSTGRES_DSN; None without the first."""
    if not os.environ.get(PREFIX + "INGEST_URL"):
        return None
    fields = ("ingest_url", "segments_url", "kafka_bootstrap", "postgres_dsn")
    return OtherPlatform(**{field: os.environ[PREFIX + field.upper()] for field in fields})
