"""Backfills: a live segment that is new, or has a new rule, gets what its new leaves missed from the lake.

Several share a *pass* over the profiles of a workspace. A pass goes through phases, each kept before it begins, so that
whoever is killed is gone on for: *defining* (until the job has the definitions), *archiving* (until all that lies
before the cut is in the lake, and behind the job), *sending*, *confirming* (until the job has taken in what was sent).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from audience.ports.evaluation import Positions

BackfillState = Literal["waiting", "running", "paused", "done", "cancelled", "failed", "unavailable"]
Phase = Literal["defining", "archiving", "sending", "confirming", "ended"]


@dataclass(frozen=True, slots=True)
class Backfill:
    """One segment's, as it stands. `profiles` and `done` are those of its pass; 0 before it is known how many.

    `reason`: a stable code for why it is cancelled, failed or unavailable. `began_ms`: when its pass began to send.
    """

    number: int
    workspace: str
    segment: str
    version: int
    state: BackfillState
    created_ms: int
    reason: str | None = None
    phase: Phase | None = None
    profiles: int = 0
    done: int = 0
    began_ms: int | None = None
    ended_ms: int | None = None

    def seconds_left(self, now_ms: int) -> int | None:
        """By the pace so far; None where there is none."""
        if self.state != "running" or self.began_ms is None or not self.done:
            return None
        return round((now_ms - self.began_ms) / 1000 * (self.profiles - self.done) / self.done)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A backfill of a pass with what it needs: the segment's rule, and which of its leaves are new."""

    number: int
    rule: Mapping[str, Any]
    new_leaves: frozenset[str]


@dataclass(frozen=True, slots=True)
class Pass:
    """`marks` is what the job has to get past in this phase, `cut` where history ends in the topic of events.

    `place`: the profiles before it have been sent theirs.
    """

    id: int
    workspace: str
    phase: Phase
    marks: Positions
    cut: Mapping[int, int]
    place: int
    profiles: int
    done: int
    wanted: Sequence[Wanted]
    """Those that run; a pass whose backfills are all paused has none."""
    paused: bool
    """Whether some are paused."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of those that run."""
        return tuple(wanted.number for wanted in self.wanted)


class BackfillMissing(Exception):
    """The segment has none, or none that can be paused, resumed or cancelled."""


class Backfills(Protocol):
    """Seen by authors. Every call raises StoreUnavailable."""

    async def newest(self, workspace: str, segments: Sequence[str]) -> Mapping[str, Backfill]:
        """The last backfill of each of these segments that had one."""

    async def page(self, workspace: str | None, *, outstanding: bool) -> Sequence[Backfill]:
        """The newest hundred, newest first; of all workspaces or one."""

    async def pause(self, workspace: str, segment: str) -> None:
        """Nothing more is sent for it until it is resumed. Raises BackfillMissing."""

    async def resume(self, workspace: str, segment: str) -> None:
        """It goes on where its pass stands, if that has waited; else it begins again. Raises BackfillMissing."""

    async def cancel(self, workspace: str, segment: str, now_ms: int) -> None:
        """The segment is live with what came since it was defined. Raises BackfillMissing."""


class BackfillPasses(Protocol):
    """Seen by who carries them out. Every call raises StoreUnavailable."""

    async def open(self) -> Pass | None:
        """The oldest pass that is not ended and has something to do."""

    async def begin(self, now_ms: int) -> Pass | None:
        """A pass for all backfills of a workspace that wait and whose definitions have been told; None for none.

        Its `marks` are empty.
        """

    async def advance(
        self,
        known: Pass,
        phase: Phase,
        *,
        now_ms: int,
        marks: Positions | None = None,
        cut: Mapping[int, int] | None = None,
        profiles: int | None = None,
    ) -> None:
        """Into the next phase; nothing where somebody else has been faster."""  # fmt: skip

    async def sent(self, known: Pass, place: int, profiles: int, events: int) -> None:
        """The profiles before `place` have been sent theirs; nothing where somebody else has been faster."""

    async def again(self, known: Pass) -> None:
        """What was sent is lost: from the first profile on."""

    async def finish(self, known: Pass, now_ms: int) -> int:
        """The pass's running backfills are done and their segments whole; gives how many."""

    async def fail(self, known: Pass, reason: str, now_ms: int) -> None:
        """The pass's backfills have failed: their segments are live with what came since they were defined."""

    async def profile_ids(self, workspace: str, after: bytes, limit: int) -> Sequence[bytes]:
        """Up to `limit` profiles that there are, by id, behind `after`."""
