"""The segments of a workspace, and the credentials of those who send and read."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

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
    saved_revision: int = 0
    """The revision that an author gave it; `revision` is also raised when a backfill ends."""
    revised_ms: int = 0
    """When `revision` was raised last."""
    backfill: int | None = None
    """The number of the backfill that it waits for."""
    new_leaves: tuple[str, ...] = ()
    """The ids of what its rule measures without having its history."""
    born: int = 0
    """The revision that it was made with."""

    @property
    def evaluated(self) -> bool:
        """Whether it has members: archived ones and drafts have none."""
        return self.status in ("live", "paused")


@dataclass(frozen=True, slots=True)
class SegmentDraft:
    """What an author gives: a segment that has not been saved. Its rule has been checked.

    `refers_to` holds the segments that the rule names, `reads_lists` and `reads_computed_traits` the lists and computed
    traits, so that none of them is taken away.
    """

    key: str
    name: str
    description: str
    rule: Mapping[str, Any]
    tags: tuple[str, ...]
    status: SegmentStatus
    refers_to: frozenset[str] = frozenset()
    reads_lists: frozenset[str] = frozenset()
    reads_computed_traits: frozenset[str] = frozenset()
    leaves: frozenset[str] | None = None
    """The ids of what its rule measures; None where nobody has said."""
    filled: bool = True
    """Whether there is a lake to fill it from."""


@dataclass(frozen=True, slots=True)
class CatalogView:
    """What rules may refer to, as of a revision: for each live or paused segment the segments that it refers to, and
    the lists and computed traits that there are."""

    revision: int
    segments: Mapping[str, frozenset[str]]
    lists: frozenset[str] = frozenset()
    computed_traits: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class EvaluatedSegments:
    """The live and paused segments of a workspace, and when each live one was saved last (Unix milliseconds)."""

    keys: frozenset[str]
    live: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SegmentVersion:
    """A rule that a segment has or had."""

    version: int
    rule: Mapping[str, Any]
    created_ms: int


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


class SegmentNotFilled(Exception):
    """It is not evaluated, or it is saved by one that fills nothing."""


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

    async def fill_again(self, workspace: str, key: str, now_ms: int) -> Segment:
        """Have all that a live or paused segment measures filled from the lake once more.

        One that waits for a backfill stays as it is. Raises SegmentMissing, and SegmentNotFilled where it is neither
        live nor paused, or nobody has said what it measures.
        """

    async def delete(self, workspace: str, key: str, known: frozenset[int] | None, now_ms: int) -> None:
        """Take a segment out. Raises SegmentMissing, RevisionConflict, SegmentInUse."""

    async def get(self, workspace: str, key: str) -> Segment | None: ...

    async def page(self, workspace: str, after_key: str, limit: int) -> Sequence[Segment]:
        """Up to `limit` segments in the order of their keys, behind `after_key` (empty: from the first)."""

    async def versions(self, workspace: str, key: str, before: int, limit: int) -> Sequence[SegmentVersion]:
        """Up to `limit` versions below `before`, newest first."""

    async def evaluated(self, known: object) -> tuple[object, Mapping[str, EvaluatedSegments]] | None:
        """The live and paused segments of each workspace, and a mark; None while the mark is `known`."""

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


class SourceExists(Exception):
    """The workspace has a source with this id, or some workspace one with this write key."""


class SourceMissing(Exception):
    """The workspace has no source with this id that could be revoked."""


class SourceCatalog(Protocol):
    """The sources and their write keys."""

    async def sources(self) -> Sequence[Source]:
        """Every source of every workspace that has not been revoked. Raises StoreUnavailable."""


class SourceRegistry(SourceCatalog, Protocol):
    """The same, for those who manage them."""

    async def create(self, source: Source) -> None:
        """Add a source, and its workspace where it is new. Raises SourceExists, StoreUnavailable."""

    async def revoke(self, workspace: str, source: str) -> None:
        """Let nothing in by this source's write key any more. Raises SourceMissing, StoreUnavailable."""


ANY_SCOPE: Final = "*"
SCOPES: Final = (
    ANY_SCOPE,
    "memberships:read",
    "profiles:read",
    "profiles:write",
    "segments:read",
    "segments:write",
    "lists:write",
    "sources:read",
    "sources:write",
    "bad-events:read",
    "bad-events:replay",
)
"""What tokens can be made for."""


@dataclass(frozen=True, slots=True)
class TokenAccess:
    """What a token opens: a workspace, and in it what its scopes name. `ANY_SCOPE` is every one."""

    workspace: str
    scopes: frozenset[str]


class TokenCatalog(Protocol):
    """API tokens. Only their SHA-256 is kept."""

    async def access_of(self, token_sha256: bytes) -> TokenAccess | None:
        """What a token opens; None where it is unknown, revoked or expired. Raises StoreUnavailable."""

    async def used(self, at_s: Mapping[bytes, float]) -> None:
        """Note when tokens, by their SHA-256, were used last (Unix seconds). Raises StoreUnavailable."""


@dataclass(frozen=True, slots=True)
class UploadedList:
    """A list of profile ids that rules may ask for; `size` is how many are on it."""

    key: str
    name: str
    size: int
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class ProfileLists:
    """Every list that a profile is on, as of a revision."""

    workspace: str
    profile_id: str
    revision: int
    lists: tuple[str, ...]


class ListMissing(Exception):
    """There is no list with this key."""


class ListCatalog(Protocol):
    """Uploaded lists. Raises StoreUnavailable."""

    async def get(self, workspace: str, key: str) -> UploadedList | None: ...

    async def page(self, workspace: str, after_key: str, limit: int) -> Sequence[UploadedList]:
        """Up to `limit` lists in the order of their keys, behind `after_key` (empty: from the first)."""

    async def put(self, workspace: str, key: str, name: str, now_ms: int) -> tuple[UploadedList, bool]:
        """Make a list or give it a name; whether it was made."""

    async def add(
        self, workspace: str, key: str, profile_ids: Collection[str], now_ms: int
    ) -> tuple[UploadedList, int]:
        """Put profiles on a list; gives how many were not on it before. Raises ListMissing."""

    async def delete(self, workspace: str, key: str) -> None:
        """Raises ListMissing, SegmentInUse where a segment's rule asks for it."""

    def publishing(self, limit: int) -> AbstractAsyncContextManager[Sequence[ProfileLists]]:
        """The profiles whose lists the jobs have not been told of; leaving the block without an error says so."""


@dataclass(frozen=True, slots=True)
class SavedComputedTrait:
    """A computed trait as saved. A deleted one is seen only by those who tell the jobs."""

    workspace: str
    key: str
    definition: Mapping[str, Any]
    revision: int
    created_ms: int
    updated_ms: int
    deleted: bool = False


class ComputedTraitMissing(Exception):
    """There is no computed trait with this key."""


class ComputedTraitCatalog(Protocol):
    """Computed traits. Raises StoreUnavailable."""

    async def get(self, workspace: str, key: str) -> SavedComputedTrait | None: ...

    async def page(self, workspace: str, after_key: str, limit: int) -> Sequence[SavedComputedTrait]:
        """Up to `limit` computed traits in the order of their keys, behind `after_key` (empty: from the first)."""

    async def put(
        self, workspace: str, key: str, definition: Mapping[str, Any], now_ms: int
    ) -> tuple[SavedComputedTrait, bool]:
        """Make a computed trait or replace it; whether it was made."""

    async def delete(self, workspace: str, key: str, now_ms: int) -> None:
        """Raises ComputedTraitMissing, SegmentInUse where a segment's rule reads it."""

    def publishing(self, limit: int) -> AbstractAsyncContextManager[Sequence[SavedComputedTrait]]:
        """Those whose last change the jobs have not been told of, as `SegmentCatalog.publishing`."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer that was given to a request with an idempotency key."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class KeyInUse(Exception):
    """A request with this idempotency key is being answered just now."""


class KeyTaken(Exception):
    """Another request had this idempotency key."""


class IdempotencyKeys(Protocol):
    """Requests that carry a key, and what they were answered. Raises StoreUnavailable."""

    async def claim(self, workspace: str, key: str, fingerprint: bytes, now_ms: int) -> KeptAnswer | None:
        """The answer that was given before; None where this caller is to give it. Raises KeyInUse, KeyTaken."""

    async def keep(self, workspace: str, key: str, answer: KeptAnswer) -> None:
        """Remember an answer for as long as keys are kept."""

    async def release(self, workspace: str, key: str) -> None:
        """Forget a claim that came to nothing."""

    async def forget(self, before_ms: int) -> None:
        """Forget the keys of a time."""
