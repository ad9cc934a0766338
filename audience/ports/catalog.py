"""The segments of a workspace, and the credentials of those who send and read."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

SegmentStatus = Literal["draft", "live", "paused", "archived"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as saved. `version` counts the changes of its rule, `revision` every change of any segment.

    A deleted one is seen only by those who tell the jobs and remove its memberships.
    """

    workspace: str
    key: str
    name: str
    description: str
    rule: Mapping[str, Any]
    tags: tuple[str, ...]
    status: SegmentStatus
    version: int
    revision: int
    created_ms: int
    updated_ms: int
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class SegmentDraft:
    """What an author gives: a segment that has not been saved. Its rule has been checked.

    `refers_to` holds the segments that the rule names, so that none of them is taken away.
    """

    key: str
    name: str
    description: str
    rule: Mapping[str, Any]
    tags: tuple[str, ...]
    status: SegmentStatus
    refers_to: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CatalogView:
    """What rules may refer to, as of a revision: for each live or paused segment the segments that it refers to."""

    revision: int
    segments: Mapping[str, frozenset[str]]


class SegmentExists(Exception):
    """A segment with this key is there already."""


class SegmentMissing(Exception):
    """There is no segment with this key."""


class SegmentLeaving(Exception):
    """A segment with this key was deleted, and its memberships are still being removed."""


class SegmentInUse(Exception):
    """Other segments, which are not archived, refer to it."""

    def __init__(self, users: Sequence[str]) -> None:
        super().__init__(", ".join(users))
        self.users = tuple(users)


class RevisionConflict(Exception):
    """The segment is not at a revision that the caller knows."""


class CatalogMoved(Exception):
    """A segment of the workspace changed since the view that a rule was checked against; look, check, save again."""


class SegmentCatalog(Protocol):
    """The source of truth for segments. Raises `audience.ports.stores.StoreUnavailable` where it cannot be reached.

    Of a segment's `revision`: `known` are those that a caller would replace; None replaces whichever is there.
    """

    async def view(self, workspace: str) -> CatalogView:
        """What a rule may refer to now. Saving against it fails where it has changed meanwhile."""

    async def create(self, workspace: str, draft: SegmentDraft, view: CatalogView, now_ms: int) -> Segment:
        """Save a new segment as version 1. Raises SegmentExists, SegmentLeaving, CatalogMoved."""

    async def replace(
        self, workspace: str, draft: SegmentDraft, view: CatalogView, known: frozenset[int] | None, now_ms: int
    ) -> Segment:
        """Save a segment that is there; only a changed rule makes a new version.

        Raises SegmentMissing, RevisionConflict, SegmentInUse (it would be neither live nor paused), CatalogMoved.
        """

    async def delete(self, workspace: str, key: str, known: frozenset[int] | None, now_ms: int) -> None:
        """Take a segment out. Raises SegmentMissing, RevisionConflict, SegmentInUse."""

    async def get(self, workspace: str, key: str) -> Segment | None: ...

    async def page(self, workspace: str, after_key: str, limit: int) -> Sequence[Segment]:
        """Up to `limit` segments in the order of their keys, behind `after_key` (empty: from the first)."""

    async def evaluated(self, known: object) -> tuple[object, Mapping[str, frozenset[str]]] | None:
        """The keys of the live and paused segments of each workspace, and a mark; None while the mark is `known`."""

    def publishing(self, limit: int) -> AbstractAsyncContextManager[Sequence[Segment]]:
        """The segments whose last change the jobs have not been told of, oldest change first.

        One caller at a time, of all processes, has them; leaving the block without an error says that the jobs have
        been told of these revisions.
        """

    async def leaving(self) -> Sequence[Segment]:
        """Deleted segments that the jobs have been told of."""

    async def purge(self, segment: Segment) -> None:
        """Forget a deleted segment, whose memberships are gone."""


SourceKind = Literal["server", "browser", "mobile"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where events come from. `write_key` authenticates it; `source` is its id, kept on every event.

    `events_per_s` is how much it may send; None: as much as any.
    """

    workspace: str
    source: str
    name: str
    write_key: str
    kind: SourceKind = "server"
    events_per_s: int | None = None


class SourceCatalog(Protocol):
    """The sources and their write keys."""

    async def sources(self) -> Sequence[Source]:
        """Every source of every workspace that has not been revoked. Raises StoreUnavailable."""


class TokenCatalog(Protocol):
    """API tokens. Only their SHA-256 is kept."""

    async def workspace_of(self, token_sha256: bytes) -> str | None:
        """The workspace that a token opens; None where the token is unknown. Raises StoreUnavailable."""
