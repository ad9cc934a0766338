"""What the archive is told when it starts."""

from pydantic import Field

from services._kit.lake import LakeSettings
from services._kit.settings import ServiceSettings


class ArchiveSettings(LakeSettings, ServiceSettings):
    """Read from variables with the prefix ``AUDIENCE_``."""

    port: int = 8084

    archive_every_s: float = Field(default=2.0, gt=0, le=600)
    """How often what has come is committed to the lake. A commit is a file for each partition of the topic."""

    archive_batch_records: int = Field(default=50_000, ge=1, le=1_000_000)
    """How many records one commit takes at most."""

    refine_every_s: float = Field(default=5.0, gt=0, le=3_600)
    """How often archived records become rows of silver, which previews and analytics read."""

    refine_batch_records: int = Field(default=200_000, ge=1_000)
    """How many records one step of refining takes at most."""

    aggregate_every_s: float = Field(default=60.0, gt=0, le=86_400)
    """How often days that have changed are counted anew."""

    compact_every_s: float = Field(default=600.0, gt=0, le=86_400)
    """How often small files are merged."""

    retain_every_s: float = Field(default=21_600.0, gt=0, le=86_400)
    """How often days beyond the retention are deleted, and files that no table refers to are removed."""

    vacuum_hours: int = Field(default=24, ge=1, le=24 * 30)
    """How long a file stays after the last table has let go of it, for readers that began before."""

    backfill_events_per_s: float = Field(default=20_000.0, gt=0)
    backfill_profiles_per_s: float = Field(default=2_000.0, gt=0)
    """How many profiles, and events of theirs, a backfill sends in a second at most: live ones go on beside it."""

    order_event: str = "Order Completed"
    revenue_property: str = "total"
    """Which events are orders, and the property that is their worth: for the value of profiles (gold)."""
