"""Where the lake lies, for the services that write or read it."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from audience.adapters.lake.duck import Bounds
from audience.adapters.lake.tables import LakeLocation


def _url(text: str) -> str:
    scheme, found, rest = text.partition("://")
    if not text or (found and (scheme not in ("s3", "file") or not rest)):
        raise ValueError(f"{text!r} is neither a folder nor of the form s3://bucket/prefix")
    return text


class LakeSettings(BaseSettings):
    """Read from variables with the prefix ``AUDIENCE_``, but for ``LAKE_URL``.

    Credentials and the address of S3 stand in the variables of AWS's own tools: AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, AWS_ALLOW_HTTP.
    """

    model_config = SettingsConfigDict(env_prefix="AUDIENCE_", frozen=True, extra="ignore")

    lake_url: Annotated[str, AfterValidator(_url)] = Field(default=".data/lake", validation_alias="LAKE_URL")
    """A folder, or ``s3://bucket/prefix``."""

    lake_memory_mb: int = Field(default=512, ge=64)
    """How much memory one reader of the lake may take; beyond it work is spilled to disk."""

    lake_threads: int = Field(default=0, ge=0)
    """How many threads one reader may use; 0: as many as there are cores."""

    lake_retention_days: int = Field(default=730, ge=1, le=3_650)
    """Days older than this are deleted from the lake."""

    @property
    def lake(self) -> LakeLocation:
        """The lake's place."""
        return LakeLocation(self.lake_url)

    @property
    def lake_bounds(self) -> Bounds:
        """What a reader may use."""
        return Bounds(memory_mb=self.lake_memory_mb, threads=self.lake_threads)
