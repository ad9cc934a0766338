"""The engine beside the oracle on a few hundred fixed pairs, in a unit test's time; the many are in integration."""

import pytest

from tests.differential import mismatches, mismatches_backfilled, mismatches_late
from tests.generate import pair

FIRST = 1_000_000
CHUNK = 20


@pytest.mark.parametrize("first", range(FIRST, FIRST + 300, CHUNK))
def test_the_engine_agrees_with_the_oracle(first: int) -> None:
    for number in range(first, first + CHUNK):
        assert list(mismatches(pair(number))) == [], f"pair {number}"


@pytest.mark.parametrize("first", range(FIRST, FIRST + 300, CHUNK))
def test_an_engine_that_is_behind_agrees_too(first: int) -> None:
    for number in range(first, first + CHUNK):
        assert list(mismatches_late(pair(number), seed=number)) == [], f"pair {number}"


@pytest.mark.parametrize("first", range(FIRST, FIRST + 300, CHUNK))
def test_a_segment_that_is_filled_from_the_archive_agrees_too(first: int) -> None:
    for number in range(first, first + CHUNK):
        assert list(mismatches_backfilled(pair(number), seed=number)) == [], f"pair {number}"
