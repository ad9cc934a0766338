"""The engine beside the oracle, on ten thousand random pairs of a rule and a history."""

import os

import pytest

from tests import differential
from tests.differential import compare
from tests.generate import pair

PAIRS = 10_000


@pytest.mark.timeout(600)
def test_the_engine_agrees_with_the_oracle(capsys: pytest.CaptureFixture[str]) -> None:
    done = 0

    def progress(so_far: int, _: tuple[str, ...]) -> None:
        nonlocal done
        done = so_far
        if done % 2_500 == 0:
            with capsys.disabled():
                print(f" {done:,} of {PAIRS:,} pairs", end="", flush=True)

    comparison = compare(1, PAIRS, os.cpu_count() or 1, progress)
    assert not comparison.mismatches, "\n".join((str(comparison), *comparison.mismatches[:20]))
    assert done == PAIRS


def test_a_mismatch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An oracle that always says no is caught within few pairs."""
    monkeypatch.setattr(differential, "member", lambda *_: False)
    found = [line for number in range(1, 21) for line in differential.mismatches(pair(number))]
    assert found
    assert "the oracle says False, the engine True" in found[0]
