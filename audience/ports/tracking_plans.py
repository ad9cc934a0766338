"""The tracking plans of sources, and what their events broke of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A source's plan as saved, which was checked. `revision` is another with every change of any plan."""

    workspace: str
    source: str
    document: Mapping[str, Any]
    revision: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class PlanCount:
    """How many events of one name broke a source's plan on a day (UTC), in one way, and how the last one did."""

    workspace: str
    source: str
    event: str
    code: str
    mode: str
    day: str
    events: int
    last_ms: int
    last_path: str
    last_message: str


class PlanSourceMissing(Exception):
    """The workspace has no source with this id, or it is revoked."""


class TrackingPlanCatalog(Protocol):
    """Plans and counts. Every method raises StoreUnavailable."""

    async def revisions(self) -> Mapping[tuple[str, str], int]:
        """The revision of each plan, by workspace and source."""

    async def get(self, workspace: str, source: str) -> SavedPlan | None: ...

    async def put(self, workspace: str, source: str, document: Mapping[str, Any], now_ms: int) -> SavedPlan:
        """Make or replace a plan. Raises PlanSourceMissing."""

    async def delete(self, workspace: str, source: str) -> bool:
        """Take a plan away; whether there was one. Its counts stay."""

    async def count(self, counts: Sequence[PlanCount]) -> None:
        """Add these to what is there."""

    async def counts(self, workspace: str, source: str, limit: int) -> Sequence[PlanCount]:
        """Of a source, the last days first, the most frequent first within a day."""
