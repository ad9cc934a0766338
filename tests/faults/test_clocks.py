"""The clock of the machine jumps by an hour, forwards and back again, while events flow.

Every part runs under libfaketime (Debian: faketime), which reads by how much its clock is off from a file.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.trial import Rules, Trial
from tests.integration.local.running import LocalPlatform, platform_in, stopped_afterwards

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
PEOPLE = int(os.environ.get("AUDIENCE_TRIAL_PEOPLE", "300"))
SEED = int(os.environ.get("AUDIENCE_TRIAL_SEED", "1"))
SEGMENTS = 100
EVENTS_PER_S = 100.0
JUMP_S = 3_600
READ_ANEW_S = 3.0


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets by how many seconds the parts' clocks are ahead."""
    assert LIBRARY.exists(), f"{LIBRARY} is not there: apt-get install faketime"
    file = tmp_path / "clock"
    file.write_text("+0")
    monkeypatch.setenv("LD_PRELOAD", str(LIBRARY))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(file))
    monkeypatch.setenv("FAKETIME_CACHE_DURATION", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")

    def jump(ahead_s: int) -> None:
        file.write_text(f"{ahead_s:+d}")

    return jump


@pytest.fixture
def platform(clock: Callable[[int], None], tmp_path: Path) -> Iterator[LocalPlatform]:
    with stopped_afterwards(platform_in(tmp_path / "data")) as started:
        started.up()
        yield started


async def test_the_clock_jumps_by_an_hour_and_back(platform: LocalPlatform, clock: Callable[[int], None]) -> None:
    """Rules without windows are right at any time; of the others only that their profiles' versions do not go back."""
    trial = Trial(platform, Rules.random(SEGMENTS, first_pair=SEED, timeless=True), ahead_ms=1000 * JUMP_S)
    await trial.save_rules()
    for part, ahead_s in enumerate((0, JUMP_S, 0, -JUMP_S, 0)):
        clock(ahead_s)
        await asyncio.sleep(READ_ANEW_S)
        sent = await trial.send(PEOPLE, SEED * 1_000_000 + part * PEOPLE, EVENTS_PER_S)
        await trial.settle()
        verdict = await trial.verdict()
        print(f"clock {ahead_s:+d} s: {sent} events; {verdict}")
        assert not verdict.wrong, verdict.wrong[:20]
    assert await asyncio.to_thread(trial.versions_that_went_back) == []
