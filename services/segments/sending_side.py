"""What segment-api manages of those who send: sources, their tracking plans, events that were not accepted."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Path

from audience.adapters.kafka.bad_events import KafkaBadEvents
from audience.ports.catalog import Source, SourceRegistry
from audience.ports.tracking_plans import TrackingPlanCatalog
from services._kit.errors import ApiError, FieldError
from services._kit.replaying import Replaying
from services.segments.paths import key_in_path

SourceId = Annotated[str, key_in_path("source", "source_not_found"), Path(description="The source's id.")]


@dataclass(frozen=True, slots=True)
class Sending:
    """The ports of that side."""

    sources: SourceRegistry
    plans: TrackingPlanCatalog
    bad_events: KafkaBadEvents
    replaying: Replaying
    readers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    """Readers of `events.bad` at once; each takes a thread and memory."""


async def source_of(sources: SourceRegistry, workspace: str, source: str) -> Source:
    """The source, not revoked. Raises ApiError 404."""
    for each in await sources.sources():
        if (each.workspace, each.source) == (workspace, source):
            return each
    raise no_source(source)


def no_source(source: str) -> ApiError:
    """404."""
    return ApiError(404, "source_not_found", f"there is no source {source!r}, or it is revoked")


def refused(what: str, *faults: FieldError) -> ApiError:
    """422 `invalid_request`."""
    return ApiError(422, "invalid_request", f"{what} is not of the right shape", errors=faults)


def fault(code: str, path: str, message: str) -> FieldError:
    """One of its errors."""
    return FieldError(code=code, path=path, message=message)
