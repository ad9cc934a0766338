"""The times that a step of a sequence keeps, against a sorted list."""

import random

import pytest

from audience.engine.sequences import MOST_TIMES, Times


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
