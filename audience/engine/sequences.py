"""When a sequence holds (rules.md, "Sequences"), from the times of the events that match its steps.

Every matching event is kept with its time while it is inside the window, since one that arrives late may complete a
chain of older ones. Exact for the newest MOST_TIMES of each step.

For each step the chains that end there are known by when they *start*: of two that end at the same time only the later
start matters, because the whole chain leaves the window with its first event.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from operator import itemgetter
from typing import Final, Self

from audience.engine.packing import pack_unsigned, unpack
from audience.rules.tree import Window

MOST_TIMES: Final = 1_000
"""How many events of a pattern are kept with their times; beyond them the oldest are forgotten."""

Occurrence = tuple[int, int]
"""An event's time in ms, and the steps that it matches as bits, bit 0 for the first."""


class Times:
    """The times of a pattern's events, oldest first, each with the number that tells the profile's events apart."""

    __slots__ = ("numbers", "times", "upto")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.numbers: list[int] = []
        self.upto = 0

    def add(self, time_ms: int, number: int) -> None:
        times = self.times
        index = len(times) if not times or times[-1] <= time_ms else bisect_right(times, time_ms)
        times.insert(index, time_ms)
        self.numbers.insert(index, number)
        if len(times) > MOST_TIMES:
            del times[0], self.numbers[0]

    def forget_before(self, time_ms: int) -> None:
        """Forget the events before an instant."""
        if self.times and self.times[0] < time_ms:
            gone = bisect_left(self.times, time_ms)
            del self.times[:gone], self.numbers[:gone]

    @property
    def empty(self) -> bool:
        return not self.times

    def pack(self) -> bytes:
        first = self.times[0] if self.times else 0
        gaps = [after - before for before, after in pairwise(self.times)]
        head = self.upto.to_bytes(4, "little") + first.to_bytes(8, "little", signed=True)
        lowest = min(self.numbers, default=0)
        numbers = [number - lowest for number in self.numbers]
        return b"".join((head, lowest.to_bytes(8, "little"), pack_unsigned(gaps), pack_unsigned(numbers)))

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        state = cls()
        state.upto = int.from_bytes(data[:4], "little")
        first = int.from_bytes(data[4:12], "little", signed=True)
        lowest = int.from_bytes(data[12:20], "little")
        gaps, end = unpack(data, 20)
        numbers, _ = unpack(data, end)
        state.numbers = [lowest + number for number in numbers]
        state.times = list(accumulate(gaps, initial=first))[: len(numbers)]
        return state


@dataclass(frozen=True, slots=True)
class Shape:
    """A sequence without its patterns. `gaps_ms[i]` is the longest time between step i and the step before it; [0] is
    None. `absent_gap_ms` is set where the last step must not happen; it is no part of `gaps_ms`."""

    gaps_ms: tuple[int | None, ...]
    absent_gap_ms: int | None
    window: Window

    @property
    def absent_bit(self) -> int:
        return 1 << len(self.gaps_ms)


def occurrences(steps: Sequence[Times | None], from_ms: int) -> list[Occurrence]:
    """The events from `from_ms` on that match any step, oldest first; `steps` has the times of each step's pattern."""
    found: dict[int, Occurrence] = {}
    for step, kept in enumerate(steps):
        if kept is None:
            continue
        start = bisect_left(kept.times, from_ms)
        for time_ms, number in zip(kept.times[start:], kept.numbers[start:], strict=True):
            known = found.get(number)
            found[number] = (time_ms, 1 << step | (known[1] if known else 0))
    return sorted(found.values())


def held(shape: Shape, events: list[Occurrence], now_ms: int) -> tuple[bool, int | None]:
    """Whether the sequence holds at `now_ms`, and the next instant at which time alone changes that (None: never).

    `events` are those inside the window.
    """
    step_ms = shape.window.step_ms
    absent = [time_ms for time_ms, steps in events if steps & shape.absent_bit] if shape.absent_gap_ms else []
    spans = [
        (begins_ms, ends_ms)
        for ended_ms, started_ms in _complete(shape, events)
        if (begins_ms := _begins(shape, absent, ended_ms)) is not None
        and begins_ms < (ends_ms := shape.window.leaves_at(started_ms // step_ms))
    ]
    until_ms: int | None = None
    for begins_ms, ends_ms in sorted(spans):
        if until_ms is None:
            if ends_ms <= now_ms:
                continue
            if begins_ms > now_ms:
                return False, begins_ms
            until_ms = ends_ms
        elif begins_ms <= until_ms:
            until_ms = max(until_ms, ends_ms)
        else:
            break
    return until_ms is not None, until_ms


def _begins(shape: Shape, absent: list[int], ended_ms: int) -> int | None:
    """When a chain that ended at `ended_ms` begins to make the sequence true; None where the absent event came."""
    if shape.absent_gap_ms is None:
        return ended_ms
    begins_ms = ended_ms + shape.absent_gap_ms
    following = bisect_right(absent, ended_ms)
    return None if following < len(absent) and absent[following] <= begins_ms else begins_ms


def _complete(shape: Shape, events: list[Occurrence]) -> Iterator[tuple[int, int]]:
    """Each time at which a chain is complete, with the latest start of those that end there."""
    length = len(shape.gaps_ms)
    open_chains: list[deque[tuple[int, int]]] = [deque() for _ in range(length)]
    for time_ms, group in groupby(events, key=itemgetter(0)):
        for step, started_ms in _reached(shape, open_chains, time_ms, [steps for _, steps in group]).items():
            if step == length:
                yield time_ms, started_ms
                continue
            waiting = open_chains[step]
            while waiting and waiting[-1][1] <= started_ms:
                waiting.pop()
            waiting.append((time_ms, started_ms))


def _reached(
    shape: Shape, open_chains: Sequence[deque[tuple[int, int]]], time_ms: int, events: list[int]
) -> dict[int, int]:
    """The numbers of steps that chains have done after the events of one instant, with their latest starts."""
    reached: dict[int, int] = {}
    length = len(shape.gaps_ms)
    for done in range(length):
        started_ms = time_ms if done == 0 else _latest_start(open_chains[done], shape.gaps_ms[done], time_ms)
        if started_ms is None:
            continue
        for step in range(done + 1, min(done + len(events), length) + 1):
            if not _assignable(events, done, step):
                break
            reached[step] = max(reached.get(step, started_ms), started_ms)
    return reached


def _latest_start(waiting: deque[tuple[int, int]], gap_ms: int | None, time_ms: int) -> int | None:
    """The latest start among the chains that are not too old to be continued at `time_ms`."""
    if gap_ms is not None:
        while waiting and waiting[0][0] < time_ms - gap_ms:
            waiting.popleft()
    return waiting[0][1] if waiting else None


def _assignable(events: list[int], first: int, end: int) -> bool:
    """Whether the steps `first` to `end` - 1 can each have an event of their own among those of one instant."""
    if end - first == 1:
        return any(steps >> first & 1 for steps in events)
    taken: dict[int, int] = {}

    def assign(step: int, tried: set[int]) -> bool:
        for index, steps in enumerate(events):
            if steps >> step & 1 and index not in tried:
                tried.add(index)
                if index not in taken or assign(taken[index], tried):
                    taken[index] = step
                    return True
        return False

    return all(assign(step, set()) for step in range(first, end))
