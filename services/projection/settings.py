"""What the projection is told when it starts."""

from pydantic import Field

from services._kit.profile_store import ProfileStoreSettings


class ProjectionSettings(ProfileStoreSettings):
    """Read from variables with the prefix ``AUDIENCE_``."""

    port: int = 8083
    projection_batch_records: int = Field(default=500, ge=1, le=5_000)
    """How many records one write takes at most. It never waits for so many: a record alone is written at once."""

    projection_gather_ms: int = Field(default=20, ge=1, le=1_000)
    """How long Kafka may wait for 64 KiB before it hands over what it has: each answer costs the broker, and each write
    the store, as much as many records do."""
    job_consumer_group: str = Field(default="rule-evaluation", validation_alias="AUDIENCE_CONSUMER_GROUP")
    """The group of the streaming job, whose progress is followed; the same variable tells it to the job."""

    projection_retry_max_s: float = Field(default=5.0, gt=0, le=60)
    """The longest pause before a store that is away is tried again."""
