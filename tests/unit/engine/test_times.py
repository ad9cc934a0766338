"""The times that a step of a sequence keeps, against a sorted list; and when sequences hold, against every choice."""

import random
from itertools import pairwise, permutations

import pytest

from audience.engine.sequences import MOST_TIMES, Shape, Times, held, occurrences
from audience.rules.tree import Window


@pytest.mark.parametrize("seed", range(40))
def test_times_are_kept_in_order_with_their_numbers(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    start_ms = chance.choice((0, -5_000, 1_800_000_000_000))
    times, model = Times(), []
    assert times.empty
    for number in range(chance.randrange(1, 60)):
        time_ms = start_ms + chance.choice((number * 1_000, chance.randrange(60_000), 60_000, 10**10))
        times.add(time_ms, number)
        model.append((time_ms, number))
        model.sort()
        if chance.random() < 0.2:
            from_ms = start_ms + chance.randrange(40_000)
            times.forget_before(from_ms)
            model = [each for each in model if each[0] >= from_ms]
        if chance.random() < 0.4:
            times.upto = number + 1
            times = Times.unpack(times.pack())
            assert times.upto == number + 1
        assert list(zip(times.times, times.numbers, strict=True)) == model
        assert times.empty == (not model)


def test_the_newest_thousand_are_kept() -> None:
    times = Times()
    for number in range(MOST_TIMES):
        times.add(number, number)
    assert len(times.times) == MOST_TIMES
    times.add(MOST_TIMES, MOST_TIMES)
    assert (times.times[0], times.numbers[0], len(times.times)) == (1, 1, MOST_TIMES)
    times.add(0, 5_000)
    assert (times.times[0], len(times.times)) == (1, MOST_TIMES)
    assert Times.unpack(times.pack()).numbers == times.numbers


STEP_MS = 1_000
GRID_MS = 250


def brute(shape: Shape, events: list[tuple[int, int]], now_ms: int) -> bool:
    """The contract's sentence on sequences: every choice of distinct events, one for each step."""
    inside = [each for each in events if each[0] // STEP_MS >= shape.window.first_pane(now_ms) and each[0] <= now_ms]
    for chosen in permutations(inside, len(shape.gaps_ms)):
        if not all(steps >> index & 1 for index, (_, steps) in enumerate(chosen)):
            continue
        gaps = [
            (later[0] - earlier[0], most)
            for (earlier, later), most in zip(pairwise(chosen), shape.gaps_ms[1:], strict=True)
        ]
        if not all(gap >= 0 and (most is None or gap <= most) for gap, most in gaps):
            continue
        if shape.absent_gap_ms is None:
            return True
        ended_ms = chosen[-1][0]
        deadline_ms = ended_ms + shape.absent_gap_ms
        if deadline_ms <= now_ms and not any(
            steps & shape.absent_bit and ended_ms < time_ms <= deadline_ms for time_ms, steps in events
        ):
            return True
    return False


@pytest.mark.parametrize("seed", range(120))
def test_when_a_sequence_holds_and_when_that_changes(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    length = chance.choice((1, 2, 2, 3))
    gaps = (None, *(chance.choice((None, 250, 1_000)) for _ in range(length - 1)))
    shape = Shape(gaps, chance.choice((None, 500, 1_000)), Window(chance.choice((1_000, 2_000, 3_000))))
    width = length + (shape.absent_gap_ms is not None)
    events = sorted(
        (chance.randrange(16) * GRID_MS, chance.choice((1 << chance.randrange(width), chance.randrange(1, 1 << width))))
        for _ in range(chance.randrange(1, 7))
    )
    # what a moment shows is what every later one shows until something leaves, or an absence is complete
    grid = range(events[-1][0], 10_000, GRID_MS)
    truths = {now_ms: brute(shape, events, now_ms) for now_ms in grid}
    for now_ms in grid:
        inside = [each for each in events if each[0] // STEP_MS >= shape.window.first_pane(now_ms)]
        truth, due_ms = held(shape, inside, now_ms)
        assert truth == truths[now_ms]
        assert due_ms == next((later for later in grid if later > now_ms and truths[later] != truth), None)


def test_the_events_of_several_steps_are_one_row() -> None:
    first, second = Times(), Times()
    for time_ms, number in ((1_000, 1), (2_000, 2), (3_000, 3)):
        first.add(time_ms, number)
    for time_ms, number in ((2_000, 2), (2_500, 4)):
        second.add(time_ms, number)
    assert occurrences([first, None, second], 0) == [(1_000, 1), (2_000, 5), (2_500, 4), (3_000, 1)]
    assert occurrences([first, None, second], 2_000) == [(2_000, 5), (2_500, 4), (3_000, 1)]
    assert occurrences([None, None], 0) == []
