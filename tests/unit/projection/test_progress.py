"""How far evaluation has come: moving on while there is nothing to do, standing still while something hangs."""

import pytest
from prometheus_client import CollectorRegistry

from audience.ports.evaluation import Look, Reached
from audience.ports.event_log import EventLogUnavailable
from services.projection.metrics import ProjectionMetrics
from services.projection.progress import MOST_MARKS, Following, ProgressLoop
from tests.integration.contracts.memory import MemoryEvaluationProgress

EVENTS, COMMANDS, SEGMENTS, PROFILES = ("events", 0), ("commands", 0), ("segments", 0), ("profiles", 0)


class Log:
    """Where topics end, and what was committed. Each look asks the job something, as the real one does."""

    def __init__(self) -> None:
        self.ends = {EVENTS: 0, COMMANDS: 0, SEGMENTS: 0, PROFILES: 0}
        self.done: dict[tuple[str, int], int] = {}
        self.projected: dict[tuple[str, int], int] = {}
        self.away = False

    def checkpoint(self) -> None:
        """All that is there has been evaluated."""
        self.done = {place: end for place, end in self.ends.items() if place != PROFILES}

    def project(self) -> None:
        self.projected = {PROFILES: self.ends[PROFILES]}

    def seen(self) -> Look:
        held = {place: end for place, end in self.ends.items() if end}
        inputs = {place: end for place, end in held.items() if place in (EVENTS, COMMANDS)}
        definitions = {place: end for place, end in held.items() if place == SEGMENTS}
        outputs = {place: end for place, end in held.items() if place == PROFILES}
        return Look(inputs, definitions, dict(self.done), outputs, dict(self.projected))

    async def look(self) -> Look:
        if self.away:
            raise EventLogUnavailable("switched off")
        self.ends[COMMANDS] += 1
        return self.seen()


def take(following: Following, log: Log, at_ms: int) -> int | None:
    log.ends[COMMANDS] += 1
    reached = following.take(at_ms, log.seen())
    return None if reached is None else reached.events_ms


def test_a_silent_system_moves_on() -> None:
    following, log = Following(), Log()
    assert take(following, log, 1_000) is None
    for at_ms in range(2_000, 10_000, 1_000):
        log.checkpoint()
        assert take(following, log, at_ms) == at_ms - 1_000  # covered a look later


def test_a_job_that_hangs_stands_still_without_an_event() -> None:
    following, log = Following(), Log()
    take(following, log, 1_000)
    log.checkpoint()
    assert take(following, log, 2_000) == 1_000
    assert [take(following, log, at_ms) for at_ms in (3_000, 4_000, 5_000)] == [1_000] * 3
    log.checkpoint()
    assert take(following, log, 6_000) == 5_000


def test_a_job_that_is_behind_has_come_as_far_as_its_checkpoints() -> None:
    following, log = Following(), Log()
    for at_ms in range(1_000, 6_000, 1_000):
        log.ends[EVENTS] += 100
        take(following, log, at_ms)
    log.done = {EVENTS: 250, COMMANDS: 5}
    assert take(following, log, 6_000) == 2_000
    log.done = {EVENTS: 500, COMMANDS: 4}  # its reader of commands is behind
    assert take(following, log, 7_000) == 4_000


def test_what_was_evaluated_counts_when_the_stores_have_it() -> None:
    following, log = Following(), Log()
    log.ends[EVENTS] = 10
    take(following, log, 1_000)
    log.ends[PROFILES] = 7
    log.checkpoint()
    assert take(following, log, 2_000) is None
    log.projected = {PROFILES: 6}
    assert take(following, log, 3_000) is None
    log.project()
    assert take(following, log, 4_000) == 1_000
    log.ends[PROFILES] = 9  # what came later need not be stored for that


def test_definitions_are_reached_apart() -> None:
    following, log = Following(), Log()
    log.ends[SEGMENTS] = 3
    following.take(1_000, log.seen())
    log.done = {EVENTS: 0, COMMANDS: 9}
    assert following.take(2_000, log.seen()) == Reached(2_000, 0)
    log.done[SEGMENTS] = 3
    assert following.take(3_000, log.seen()) == Reached(3_000, 3_000)


def test_a_job_that_is_far_behind_is_followed_in_larger_steps() -> None:
    following, log = Following(), Log()
    for at in range(3 * MOST_MARKS):
        log.ends[EVENTS] += 1
        take(following, log, at)
    assert len(following._accepted._waiting) <= MOST_MARKS
    log.checkpoint()
    assert (take(following, log, 9_999) or 0) >= 3 * MOST_MARKS - 2


@pytest.fixture
def progress() -> MemoryEvaluationProgress:
    return MemoryEvaluationProgress()


async def test_what_was_saved_and_not_told_holds_the_instant_back(progress: MemoryEvaluationProgress) -> None:
    log, now_ms = Log(), iter(range(1_000, 100_000, 1_000))
    loop = ProgressLoop(log, progress, ProjectionMetrics(CollectorRegistry()), lambda: next(now_ms))
    progress.untold_ms = 501
    await loop.attempt()
    log.checkpoint()
    await loop.attempt()
    assert progress.reached == Reached(500, 500)
    progress.untold_ms = None
    for _ in range(2):
        await loop.attempt()
        log.checkpoint()
    await loop.attempt()
    assert progress.reached == Reached(4_000, 4_000 + 1_000)


async def test_nothing_is_told_while_a_part_is_away(progress: MemoryEvaluationProgress) -> None:
    log, registry = Log(), CollectorRegistry()
    loop = ProgressLoop(log, progress, ProjectionMetrics(registry), lambda: 1_000)
    log.away = True
    await loop.attempt()
    log.away, progress.away = False, True
    await loop.attempt()
    progress.away = False
    await loop.attempt()
    log.checkpoint()
    await loop.attempt()
    assert progress.reached == Reached(1_000, 1_000)
    assert registry.get_sample_value("projection_evaluated_timestamp_seconds") == 1
