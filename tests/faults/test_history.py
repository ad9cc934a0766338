"""The sample history while parts die under it, and segments that are created while a thousand events a second come.

AUDIENCE_TRIAL_PEOPLE says how many people there are (8,000), AUDIENCE_TRIAL_SEED which.
"""

import asyncio
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.sample import plan
from local.sample.segments import SEGMENTS
from tests.faults.trial import Rules, Trial, while_sending
from tests.integration.local.running import LocalPlatform, platform_in, stopped_afterwards, wait_until

PEOPLE = int(os.environ.get("AUDIENCE_TRIAL_PEOPLE", "8000"))
SEED = int(os.environ.get("AUDIENCE_TRIAL_SEED", "1"))
CREATED = 100
COMPARED = 400
"""Of so many people every membership is compared; the others are load."""
EVENTS_PER_S = 1_000.0
KILLED = ("archive", "taskmanager-1", "archive", "taskmanager-2", "segment-api", "archive", "jobmanager", "archive")
BACKFILLED_WITHIN_S = 600


def sent(platform: LocalPlatform) -> int:
    known = plan.load(platform.layout.sample)
    return known.sent if known else 0


def test_a_taskmanager_and_the_broker_are_killed_while_the_history_flows(tmp_path: Path) -> None:
    with stopped_afterwards(platform_in(tmp_path, sample="1")) as platform:
        start = platform.begin("up")
        killed = []
        for part, after in (("taskmanager-1", 8_000), ("kafka", 24_000), ("taskmanager-2", 40_000)):
            wait_until(f"{after} purchases are sent", lambda after=after: sent(platform) >= after)  # type: ignore[misc]
            killed.append(platform.kill(part))
        said, _ = start.communicate(timeout=600)
        assert start.returncode == 0, said
        assert said.count("equal") == len(SEGMENTS), said
        assert {program.pid for program in platform.programs().values()}.isdisjoint(killed)
        # It is over: nothing is sent again, and all sizes are right still.
        again = platform.up()
        assert "not sent again" in again
        assert again.count("equal") == len(SEGMENTS), again


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    with stopped_afterwards(platform_in(tmp_path_factory.mktemp("trial"))) as started:
        started.up()
        yield started


@pytest.mark.parametrize("killed", [(), KILLED], ids=["undisturbed", "parts are killed"])
async def test_segments_created_at_random_moments(platform: LocalPlatform, killed: tuple[str, ...]) -> None:
    """Each is created while events come; afterwards every membership is the oracle's over all accepted events."""
    first = SEED * 10_000_000 + len(killed) * 1_000_000
    trial = Trial(platform, Rules.random(CREATED, first_pair=SEED * 1_000 + len(killed)))
    chance = random.Random(first)  # noqa: S311  the same moments each time
    takes_s = PEOPLE * 5 / EVENTS_PER_S

    async def create() -> None:
        for number in range(CREATED):
            await asyncio.sleep(chance.expovariate(CREATED / takes_s))
            await trial.create(f"trial-{number}", patience_s=120)

    def kill() -> None:
        for part in killed:
            time.sleep(chance.uniform(0.5, 1.5) * takes_s / len(killed))
            platform.kill(part)

    creating = asyncio.create_task(create())
    count = await while_sending(trial.send(PEOPLE, first, EVENTS_PER_S), kill)
    await creating
    began_s = time.monotonic()
    await trial.backfilled(BACKFILLED_WITHIN_S)
    filled_s = time.monotonic() - began_s
    await trial.settle()
    trial.people = chance.sample(trial.people, COMPARED)
    verdict = await trial.verdict()
    sent = f"{count} events, {trial.sent_per_s:.0f}/s, killed {', '.join(killed) or 'nothing'}"
    print(f"{sent}; filled {filled_s:.0f} s after the last; {verdict}")
    await trial.remove_rules()
    assert not verdict.wrong, verdict.wrong[:20]
    assert verdict.members > COMPARED
    assert verdict.left_out < verdict.compared / 100
