"""What ingest-api is told when it starts."""

from pathlib import Path

from pydantic import Field

from services._kit.settings import ServiceSettings


class IngestSettings(ServiceSettings):
    """Read from variables with the prefix ``AUDIENCE_``."""

    port: int = 8081
    ingest_processes: int | None = Field(default=None, ge=1, le=64)
    """How many processes serve the port. None: one a core in production, one elsewhere."""

    ingest_public_url: str = Field(default="", pattern=r"^(https?://[^/?#\s]+)?$")
    """Where browsers reach this service, for the settings route. Empty: where the request for the settings came to."""

    append_timeout_s: float = Field(default=5.0, gt=0, le=30)
    """How long Kafka may take without a spool; past it the answer is 503. SDKs wait for an answer for 10 s or more."""

    ingest_spool: Path | None = None
    """A folder on a disk of this machine, for what comes in while Kafka is away. None: 503 then."""

    ingest_spool_mib: int = Field(default=1024, ge=1)
    """How much the spool may hold; past it the answer is 503."""

    ingest_spool_after_s: float = Field(default=2.0, gt=0, le=30)
    """How long Kafka may take before a request's records go to the spool."""

    ingest_in_flight: int = Field(default=500, ge=1)
    ingest_in_flight_mib: int = Field(default=32, ge=8)
    """How many requests may be under way, and what they may hold; past it the answer is 503."""

    ingest_source_events_per_s: int = Field(default=0, ge=0)
    """How much a source may send where it has no limit of its own; past it the answer is 429. 0: no limit."""

    sources_refresh_s: float = Field(default=2.0, gt=0, le=5)
    """A revoked write key still works for as long; the contract allows 5 s."""
