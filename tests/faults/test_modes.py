"""Thread mode and process mode against the oracle: many people, copies, any order, until every timer has run out.

Windows are of seconds here, so that all of them end while the test waits. AUDIENCE_TRIAL_PEOPLE says how many people
there are (10,000), AUDIENCE_TRIAL_SEED which.
"""

import asyncio
import os
from collections.abc import Iterator

import pytest

from tests.faults.trial import HASTENED_S, Rules, Trial
from tests.integration.local.running import LocalPlatform, platform_in, stopped_afterwards

PEOPLE = int(os.environ.get("AUDIENCE_TRIAL_PEOPLE", "10000"))
SEED = int(os.environ.get("AUDIENCE_TRIAL_SEED", "1"))
SEGMENTS = 200
EVENTS_PER_S = 600.0
TWICE = 0.2


@pytest.fixture(params=["thread", "process"])
def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    data = tmp_path_factory.mktemp("modes")
    with stopped_afterwards(platform_in(data, execution_mode=request.param)) as started:
        started.up()
        yield started


async def test_when_every_timer_has_run_out(platform: LocalPlatform) -> None:
    trial = Trial(platform, Rules.random(SEGMENTS, first_pair=SEED, hastened=True), hastened=True)
    await trial.save_rules()
    sent = await trial.send(PEOPLE, SEED * 1_000_000, EVENTS_PER_S, twice=TWICE)
    await trial.settle(within_s=1200)
    before = await trial.verdict()
    await asyncio.sleep(HASTENED_S + 10)
    await trial.settle()
    after = await trial.verdict()
    print(f"{sent} events; {before}; afterwards {after}")
    assert not before.wrong, before.wrong[:20]
    assert not after.wrong, after.wrong[:20]
    assert after.compared > 0.99 * PEOPLE * SEGMENTS
    assert trial.moved_by_time(people=100) > 0
