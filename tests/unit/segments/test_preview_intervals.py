"""The intervals of estimates hold the true size as often as they say."""

import random

import pytest

from services.segments.previewing import of_known, of_part

POPULATION = 5_000
DRAWS = 400


@pytest.mark.parametrize("share", [0.002, 0.05, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("part", [0.02, 0.3])
def test_nineteen_of_twenty_intervals_hold_the_size(share: float, part: float) -> None:
    chance = random.Random(1)  # noqa: S311  the same draws each time
    members = round(POPULATION * share)
    known = parted = 0
    for _ in range(DRAWS):
        drawn = [number < members for number in range(POPULATION) if chance.random() < part]
        found = sum(drawn)
        _, low, high = of_known(found, len(drawn), POPULATION)
        known += low <= members <= high
        _, low, high = of_part(found, part)
        parted += low <= members <= high
    # Of 400 draws with a chance of 95% fewer than 362 are rarer than one in a hundred; small counts are coarser.
    assert known >= 0.9 * DRAWS
    assert parted >= 0.9 * DRAWS


def test_an_estimate_lies_in_its_interval_and_never_below_what_was_seen() -> None:
    for members, evaluated in ((0, 10), (10, 10), (3, 10), (1, 1)):
        size, low, high = of_known(members, evaluated, 100)
        assert members <= low <= size <= high <= 100 - (evaluated - members)
        size, low, high = of_part(members, evaluated / 100)
        assert members <= low <= size <= high


def test_all_decided_is_no_estimate() -> None:
    assert of_known(7, 100, 100) == (7, 7, 7)
    assert of_part(7, 1.0) == (7, 7, 7)
    assert of_known(0, 0, 50) == (0, 0, 50)
