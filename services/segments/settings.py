"""What segment-api is told when it starts."""

from pydantic import Field

from services._kit.lake import LakeSettings
from services._kit.profile_store import ProfileStoreSettings


class SegmentsSettings(LakeSettings, ProfileStoreSettings):
    """Read from variables with the prefix ``AUDIENCE_``."""

    port: int = 8082

    token_cache_s: float = Field(default=5.0, gt=0, le=60)
    """How long a token is trusted without a look into the database; a revoked one works for as long."""

    token_stale_s: float = Field(default=300.0, ge=0, le=3_600)
    """How long a known token goes on working while the database is away, so that reads outlive it."""

    requests_per_second: int = Field(default=20_000, ge=1)
    """How many requests a token may make in a second, of each process; past it the answer is 429."""

    export_timeout_s: float = Field(default=30.0, gt=0, le=600)
    """How long the database may take for a batch of an export."""

    read_timeout_s: float = Field(default=1.0, gt=0, le=10)
    """How long a read of the profile store may take; past it the answer is 503."""

    preview_limit_ms: int = Field(default=2_000, ge=100, le=60_000)
    """How long a preview takes at most where its caller does not say; then it is an estimate."""

    analytics_limit_ms: int = Field(default=30_000, ge=100, le=600_000)
    """How long a question of /v1/analytics may take; past it the answer is 503."""

    queue_timeout_s: float = Field(default=3.0, gt=0, le=30)
    """How long a request may wait for its turn when there are more than this process bears; then the answer is 503."""

    explain_timeout_s: float = Field(default=5.0, gt=0, le=60)
    """How long the streaming job may take to explain a membership; past it the answer is 503."""

    history_timeout_s: float = Field(default=5.0, gt=0, le=60)
    """How long the search for contributing events may take; past it an explanation has none."""

    postgres_connections: int = Field(default=24, ge=7, le=200)
    """How many connections this process opens to PostgreSQL at most, over all its pools (`pools.py`)."""

    backfill: bool = True
    """Whether an archive keeps a lake, from which new and changed segments are filled. Without one they are live with
    what comes, and say so; with this set and no archive they would wait for it."""

    ingest_url: str = Field(default="http://127.0.0.1:8081", pattern=r"^https?://[^/?#\s]+$")
    """Where bad events are sent again."""
