"""How far evaluation has come: the newest instant whose events are in every store, told once a second.

Where the log ended at an instant is remembered until the job's checkpoints have passed it; where its outputs ended
then, until every store has passed that. So a job or a store that hangs is seen by the instant standing still, and one
that has nothing to do by its moving on.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from audience.ports.evaluation import EvaluationProgress, Look, Pipeline, Positions, Reached
from audience.ports.event_log import EventLogUnavailable
from audience.ports.stores import StoreUnavailable
from services.projection.metrics import ProjectionMetrics

EVERY_S: Final = 1.0
MOST_MARKS: Final = 600
"""Past it every other is forgotten: a job that is hours behind is followed in larger steps."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class Marks:
    """Instants, and where the log ended then."""

    _waiting: deque[tuple[int, Positions]] = field(default_factory=deque)

    def add(self, at_ms: int, ends: Positions) -> None:
        """Remember an instant."""
        self._waiting.append((at_ms, ends))
        if len(self._waiting) > MOST_MARKS:
            self._waiting = deque(list(self._waiting)[::2])

    def passed(self, done: Positions) -> int | None:
        """The newest instant that `done` covers, which is forgotten with those before it; None where there is none."""
        at_ms = None
        while self._waiting and _covers(done, self._waiting[0][1]):
            at_ms, _ = self._waiting.popleft()
        return at_ms


def _covers(done: Positions, ends: Positions) -> bool:
    return all(done.get(place, 0) >= end for place, end in ends.items())


class Following:
    """From looks at the log to what was reached."""

    def __init__(self) -> None:
        self._accepted, self._evaluated, self._defined = Marks(), Marks(), Marks()
        self._events_ms = self._definitions_ms = 0

    def take(self, at_ms: int, look: Look) -> Reached | None:
        """Take in a look that was begun at `at_ms`; what is reached by it, None while nothing is."""
        self._accepted.add(at_ms, look.inputs)
        self._defined.add(at_ms, look.definitions)
        if (evaluated_ms := self._accepted.passed(look.done)) is not None:
            self._evaluated.add(evaluated_ms, look.outputs)
        self._definitions_ms = self._defined.passed(look.done) or self._definitions_ms
        self._events_ms = self._evaluated.passed(look.projected) or self._events_ms
        return Reached(self._events_ms, self._definitions_ms) if self._events_ms else None


class ProgressLoop:
    """Use `run` as a background task."""

    def __init__(
        self,
        pipeline: Pipeline,
        progress: EvaluationProgress,
        metrics: ProjectionMetrics,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._pipeline = pipeline
        self._progress = progress
        self._metrics = metrics
        self._now_ms = now_ms
        self._following = Following()
        self._failing = False

    async def run(self) -> None:
        """Look and tell, until cancelled."""
        while True:
            await self.attempt()
            await asyncio.sleep(EVERY_S)

    async def attempt(self) -> None:
        """Look once. Where Kafka or the database is away, what was told stays, and so is seen to grow old."""
        try:
            at_ms = self._now_ms()
            untold_ms = await self._progress.untold_since_ms()
            # What was saved and not told by then is not in the log that we are about to look at.
            begun_ms = at_ms if untold_ms is None else min(at_ms, untold_ms - 1)
            reached = self._following.take(begun_ms, await self._pipeline.look())
            if reached is not None:
                await self._progress.advance(reached)
                self._metrics.evaluated.set(reached.events_ms / 1000)
        except (StoreUnavailable, EventLogUnavailable) as error:
            if not self._failing:
                log.warning("how far evaluation has come is not known; trying again", error=str(error))
            self._failing = True
        except Exception:
            log.exception("looking how far evaluation has come failed")
            self._failing = True
        else:
            self._failing = False
