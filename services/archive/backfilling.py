"""Carries out backfills: passes over the profiles of a workspace, in which each is sent what its segments missed.

1. *defining*: the job has the definitions, so that from now on it feeds the new leaves what comes.
2. *archiving*: the cut is where the topic of events ends then; all before it is in the lake, and behind the job.
3. *sending*: every profile gets a command with its events before the cut; of those the job leaves out what came live.
4. *confirming*: a complete checkpoint of the job covers the commands. The segments are whole then.

Where a pass stands is kept after each step, and what is sent twice counts once, so that whoever is killed is gone on
for. Sending holds to a pace, and to a slower one while the job is behind.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import structlog

from audience.adapters.kafka.history import partition_of
from audience.adapters.lake.missed import Missed, MissedEvents
from audience.engine.lowering import leaves_of
from audience.ports.backfills import BackfillPasses, Pass, Phase
from audience.ports.evaluation import EvaluationProgress, Positions
from audience.ports.event_log import EventLog, EventLogUnavailable, LogRecord
from audience.ports.lake import PLACES, LakeTooSlow, LakeUnavailable
from audience.ports.stores import StoreUnavailable
from audience.rules import RegexCompiler, parse_rule
from audience.rules.references import nodes_of
from audience.rules.tree import EventNode, Node
from audience.rules.tree import Sequence as SequenceNode
from audience.wire.topics import COMMANDS, EVENTS, SEGMENTS, BackfillCommand, encode, key_of
from services.archive.metrics import ArchiveMetrics
from services.archive.settings import ArchiveSettings

POLL_S: Final = 0.5
RETRY_S: Final = 2.0
MOST_FAULTS: Final = 5
"""So many faults of ours in a row end a pass: its segments are live with what came since they were defined."""

PORTION: Final = 20_000
"""About so many events, or profiles, are read from the lake at once."""

SLICES_PER_S: Final = 10
"""So often the pace is held: that many parts of what may go in a second are sent at once."""

BEHIND_MS: Final = 20_000
"""While the job is so far behind, sending waits …"""

BEHIND_WAIT_S: Final = 2.0
"""… so long between two slices."""

PROFILES_AT_ONCE: Final = 20_000
LAST_PLACE: Final = PLACES - 1
"""The largest that PostgreSQL keeps; a pass that stands there has sent all, but perhaps that one profile's."""

T = TypeVar("T")
log = structlog.stdlib.get_logger(__name__)


Sent = tuple[list[LogRecord], int]
"""A profile's commands, and how many events they hold."""


class Job(Protocol):
    """The streaming job, seen from outside. Every call raises EventLogUnavailable."""

    async def ends(self, topic: str) -> Positions: ...
    async def passed(self, marks: Positions) -> bool: ...
    async def lost(self, marks: Positions) -> bool: ...


@dataclass(slots=True)
class _Lake:
    """The lake, opened for a pass."""

    pass_id: int
    missed: MissedEvents
    profiles: int = 0
    places: int = 0
    """Of a portion; 0 before anything was counted."""


@dataclass(frozen=True, slots=True)
class _Portion:
    """What is read of a pass: the commands of the profiles between two places, for these of its segments."""

    pass_id: int
    numbers: Sequence[int]
    first: int
    end: int
    commands: "asyncio.Task[list[Sent]]"


class Backfilling:
    """Use `run` as a background task. `refine` takes all that is archived to where it is read, `turn` is held by who
    reads the lake: one at a time, so that memory is bounded."""

    def __init__(
        self,
        settings: ArchiveSettings,
        passes: BackfillPasses,
        job: Job,
        event_log: EventLog,
        progress: EvaluationProgress,
        refine: Callable[[], Awaitable[None]],
        turn: asyncio.Lock,
        regex: RegexCompiler,
        metrics: ArchiveMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._passes = passes
        self._job = job
        self._event_log = event_log
        self._progress = progress
        self._refine = refine
        self._turn = turn
        self._regex = regex
        self._metrics = metrics
        self._now_ms = now_ms
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="backfilling")
        self._lake: _Lake | None = None
        self._ahead: _Portion | None = None
        self._faults = 0
        self._failing = ""

    async def run(self) -> None:
        """Carry out, until cancelled."""
        try:
            while True:
                if not await self._attempt():
                    await asyncio.sleep(POLL_S)
        finally:
            self._close()

    async def _attempt(self) -> bool:
        try:
            busy = await self.step()
        except (StoreUnavailable, EventLogUnavailable, LakeUnavailable, LakeTooSlow) as error:
            if str(error) != self._failing:
                log.warning("backfills wait; trying again", error=str(error))
            self._failing = str(error)
            self._close()
            await asyncio.sleep(RETRY_S)
            return True
        except Exception:
            log.exception("a step of a backfill failed")
            self._close()
            await self._fault()
            await asyncio.sleep(RETRY_S)
            return True
        self._faults, self._failing = 0, ""
        return busy

    async def _fault(self) -> None:
        self._faults += 1
        if self._faults < MOST_FAULTS:
            return
        try:
            if (current := await self._passes.open()) is not None:
                await self._passes.fail(current, "internal", self._now_ms())
                self._faults = 0
        except StoreUnavailable as error:
            log.warning("that a backfill failed cannot be kept", error=str(error))

    async def step(self) -> bool:
        """Go on with the oldest pass, or begin one; whether there may be more to do at once."""
        current = await self._passes.open()
        if current is None:
            self._close()
            begun = await self._passes.begin(self._now_ms())
            if begun is not None:
                log.info("a backfill begins", workspace=begun.workspace, segments=len(begun.wanted))
            return begun is not None
        if not current.wanted:
            await self._passes.finish(current, self._now_ms())  # all of them were cancelled
            return True
        match current.phase:
            case "defining":
                return await self._define(current)
            case "archiving":
                return await self._archive(current)
            case "sending":
                return await self._send(current)
            case _:
                return await self._confirm(current)

    async def _define(self, current: Pass) -> bool:
        if not current.marks:
            # Read after the definitions were told, so that they lie before it.
            await self._advance(current, "defining", marks=await self._job.ends(SEGMENTS))
            return True
        if not await self._job.passed(current.marks):
            return False
        ends = await self._job.ends(EVENTS)
        await self._advance(current, "archiving", marks=ends, cut={part: end for (_, part), end in ends.items()})
        return True

    async def _archive(self, current: Pass) -> bool:
        lake = await self._opened(current)
        if not await self._call(lake.missed.complete):
            await self._refine()
            return False
        if not await self._job.passed(current.marks):
            return False
        await self._count(current, lake)
        await self._advance(current, "sending", profiles=lake.profiles)
        return True

    async def _send(self, current: Pass) -> bool:
        portion = await self._read(current, current.place)
        commands = await portion.commands
        if portion.end < PLACES:
            # While these are sent the next are read.
            self._ahead = await self._read(current, portion.end)
        events = sum(number for _, number in commands)
        await self._paced(commands)
        await self._passes.sent(current, min(portion.end, LAST_PLACE), len(commands), events)
        self._metrics.backfilled_profiles.inc(len(commands))
        self._metrics.backfilled_events.inc(events)
        if portion.end >= PLACES:
            await self._advance(current, "confirming", marks=await self._job.ends(COMMANDS))
        return True

    async def _read(self, current: Pass, first: int) -> _Portion:
        """The profiles from a place on: those that are being read already, or that are now."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            if (ahead.pass_id, ahead.numbers, ahead.first) == (current.id, current.numbers, first):
                return ahead
            ahead.commands.cancel()
        lake = await self._opened(current)
        await self._count(current, lake)
        nodes, now_ms = self._nodes(current), self._now_ms()
        end = min(PLACES, first + lake.places)

        async def read() -> list[Sent]:
            async with self._turn:
                return await self._call(
                    lambda: [self._commands(current, each) for each in lake.missed.between(first, end, nodes, now_ms)]
                )

        reading = asyncio.create_task(read(), name="backfill-reading")
        return _Portion(current.id, current.numbers, first, end, reading)

    async def _confirm(self, current: Pass) -> bool:
        if await self._job.lost(current.marks):
            log.warning("the log has forgotten what a backfill sent; it is sent again", workspace=current.workspace)
            await self._passes.again(current)
            return True
        if not await self._job.passed(current.marks):
            return False
        done = await self._passes.finish(current, self._now_ms())
        log.info("a backfill is done", workspace=current.workspace, segments=done, profiles=current.done)
        return True

    async def _advance(
        self, current: Pass, phase: Phase, *, marks: Positions | None = None, cut: dict[int, int] | None = None,
        profiles: int | None = None,
    ) -> None:  # fmt: skip
        await self._passes.advance(
            current,
            phase,
            now_ms=self._now_ms(),
            marks=marks,
            cut=cut,
            profiles=profiles,
        )

    async def _opened(self, current: Pass) -> _Lake:
        """The pass's connection to the lake, which also knows the profiles that only the stores have."""
        if self._lake is not None and self._lake.pass_id == current.id:
            return self._lake
        self._close()
        settings = self._settings
        missed = await self._call(
            lambda: MissedEvents(settings.lake, settings.lake_bounds, current.workspace, current.cut)
        )
        self._lake = _Lake(current.id, missed)
        after = b""
        while some := await self._passes.profile_ids(current.workspace, after, PROFILES_AT_ONCE):
            after = some[-1]
            ids = [each.decode() for each in some]
            await self._call(lambda ids=ids: missed.know(ids))  # type: ignore[misc]
        await self._call(missed.complete)
        return self._lake

    async def _count(self, current: Pass, lake: _Lake) -> None:
        """See once how much there is, and how large a portion is."""
        if not lake.places:
            async with self._turn:
                nodes, now_ms = self._nodes(current), self._now_ms()
                lake.profiles, events = await self._call(lambda: lake.missed.count(nodes, now_ms))
            lake.places = max(1, PLACES * PORTION // max(PORTION, lake.profiles, events))

    def _nodes(self, current: Pass) -> list[Node]:
        """What the new leaves measure."""
        found: dict[frozenset[str], Node] = {}
        for wanted in current.wanted:
            for node in nodes_of(parse_rule(wanted.rule, regex=self._regex)):
                if isinstance(node, EventNode | SequenceNode) and (leaf := leaves_of(node)) <= wanted.new_leaves:
                    found[leaf] = node
        return list(found.values())

    def _commands(self, current: Pass, missed: Missed) -> Sent:
        """A profile's commands, and how many events they hold."""
        key = key_of(current.workspace, missed.profile_id)
        cut = current.cut[partition_of(key.encode(), len(current.cut))]
        parts = missed.parts()
        records = [
            LogRecord(
                COMMANDS,
                key,
                encode(
                    BackfillCommand(
                        workspace=current.workspace,
                        profile_id=missed.profile_id,
                        backfills=current.numbers,
                        cut=cut,
                        events=part,
                        last=part is parts[-1],
                    )
                ),
            )
            for part in parts
        ]
        return records, len(missed.events)

    async def _paced(self, commands: Sequence[Sent]) -> None:
        """Send them, so many profiles and events a second."""
        settings = self._settings
        size = max(1, int(settings.backfill_profiles_per_s / SLICES_PER_S))
        for start in range(0, len(commands), size):
            some = commands[start : start + size]
            began_s = time.monotonic()
            await self._event_log.append([record for records, _ in some for record in records])
            events = sum(number for _, number in some)
            takes_s = max(len(some) / settings.backfill_profiles_per_s, events / settings.backfill_events_per_s)
            if await self._behind():
                takes_s = max(takes_s, BEHIND_WAIT_S)
            await asyncio.sleep(max(0.0, began_s + takes_s - time.monotonic()))

    async def _behind(self) -> bool:
        reached = await self._progress.read()
        return reached is not None and self._now_ms() - reached.events_ms > BEHIND_MS

    def _close(self) -> None:
        if self._ahead is not None:
            self._ahead.commands.cancel()
            self._ahead = None
        if self._lake is not None:
            self._thread.submit(self._lake.missed.close)
            self._lake = None

    async def _call(self, action: Callable[[], T]) -> T:
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, action))
