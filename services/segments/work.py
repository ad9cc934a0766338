"""What the routes work with, and how they find it."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from audience.ports.catalog import SegmentCatalog
from audience.ports.stores import MembershipIndex
from services.segments.catalog_copy import CatalogCopy
from services.segments.entrance import Desk
from services.segments.explaining import Explaining
from services.segments.saving import Saving


@dataclass(frozen=True, slots=True)
class Work:
    """Opened in the lifespan, kept in ``app.state.work``."""

    catalog: SegmentCatalog
    index: MembershipIndex
    copy: CatalogCopy
    desk: Desk
    saving: Saving
    explaining: Explaining
    now_ms: Callable[[], int]


def work_of(request: Request) -> Work:
    """The application's."""
    work: Work = request.app.state.work
    return work


def workspace_of(request: Request) -> str:
    """The workspace that the request's token opens; the entrance put it there."""
    workspace: str = request.scope["workspace"]
    return workspace
