"""What the routes work with, and how they find it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Query, Request

from audience.ports.backfills import Backfills
from audience.ports.catalog import (
    ComputedTraitCatalog,
    IdempotencyKeys,
    ListCatalog,
    Segment,
    SegmentCatalog,
)
from audience.ports.event_log import EventHistory
from audience.ports.external_ids import ExternalIds
from audience.ports.memberships import MembershipReads, SizeHistory
from audience.ports.stores import MembershipIndex, ProfileStore
from services.segments.catalog_copy import CatalogCopy
from services.segments.entrance import Desk
from services.segments.explaining import Explaining
from services.segments.exporting import Exports
from services.segments.freshness import Freshness
from services.segments.lake_worker import LakeWorker
from services.segments.publisher import Publisher
from services.segments.saving import Saving, no_segment
from services.segments.sending_side import Sending
from services.segments.streaming import Tail

PAGE: Final = 100
LARGEST_PAGE: Final = 1_000

Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many at most.")]
Cursor = Annotated[str, Query(description="`next_cursor` of the page before; empty: the first page.")]


@dataclass(frozen=True, slots=True)
class Work:
    """Opened in the lifespan, kept in ``app.state.work``."""

    catalog: SegmentCatalog
    lists: ListCatalog
    computed_traits: ComputedTraitCatalog
    idempotency: IdempotencyKeys
    index: MembershipIndex
    members: MembershipReads
    history_of_sizes: SizeHistory
    profiles: ProfileStore
    external_ids: ExternalIds
    history: EventHistory
    copy: CatalogCopy
    freshness: Freshness
    desk: Desk
    saving: Saving
    publisher: Publisher
    explaining: Explaining
    exports: Exports
    tail: Tail
    previews: LakeWorker
    preview_limit_ms: int
    analytics: LakeWorker
    analytics_limit_ms: int
    now_ms: Callable[[], int]
    sending: Sending
    backfills: Backfills


def work_of(request: Request) -> Work:
    """The application's."""
    work: Work = request.app.state.work
    return work


def workspace_of(request: Request) -> str:
    """The workspace that the request's token opens; the entrance put it there."""
    workspace: str = request.scope["workspace"]
    return workspace


async def segment_of(request: Request, key: str) -> Segment:
    """The segment. Raises ApiError 404."""
    segment = await work_of(request).catalog.get(workspace_of(request), key)
    if segment is None:
        raise no_segment(key)
    return segment
