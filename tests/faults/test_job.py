"""The whole path against the oracle, undisturbed and under every kind of harm.

AUDIENCE_TRIAL_PEOPLE says how many people there are (1,000), AUDIENCE_TRIAL_SEED which.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.faults.trial import Rules, Trial, while_sending
from tests.integration.local.running import LocalPlatform, platform_in, stopped_afterwards

PEOPLE = int(os.environ.get("AUDIENCE_TRIAL_PEOPLE", "1000"))
SEED = int(os.environ.get("AUDIENCE_TRIAL_SEED", "1"))
SEGMENTS = 200
EVENTS_PER_S = 150.0
KILLS = 20
PARTS = ("taskmanager-1", "taskmanager-2", "jobmanager", "kafka", "postgres", "ingest-api", "projection", "segment-api")
LET_IT_WORK_S = (2.0, 6.0)
STOPPED_S = 60.0
BETWEEN_STOPS_S = 10.0


@pytest.fixture(scope="module", params=["hashmap", "rocksdb"])
def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    data = tmp_path_factory.mktemp("trial")
    with stopped_afterwards(platform_in(data, state_backend=request.param)) as started:
        started.up()
        yield started


@pytest.fixture(scope="module")
def trial(platform: LocalPlatform) -> Trial:
    return Trial(platform, Rules.random(SEGMENTS, first_pair=SEED))


async def test_undisturbed(trial: Trial) -> None:
    await trial.save_rules()
    sent = await trial.send(PEOPLE, SEED * 1_000_000, EVENTS_PER_S * 4)
    await trial.settle()
    verdict = await trial.verdict()
    print(f"{sent} events; {verdict}")
    assert not verdict.wrong, verdict.wrong[:20]
    assert verdict.left_out < verdict.compared / 100


async def test_parts_are_killed_at_random(platform: LocalPlatform, trial: Trial) -> None:
    chance = random.Random(SEED)  # noqa: S311  the same harm each time
    killed: list[str] = []

    def kill_some() -> None:
        for _ in range(KILLS):
            time.sleep(chance.uniform(*LET_IT_WORK_S))
            part = chance.choice(PARTS)
            if platform.programs()[part].pid:
                platform.kill(part)
                killed.append(part)

    sent = await while_sending(trial.send(PEOPLE, SEED * 1_000_000 + PEOPLE, EVENTS_PER_S), kill_some)
    await trial.settle()
    verdict = await trial.verdict()
    print(f"{sent} events, killed {', '.join(killed)}; {verdict}")
    assert len(killed) >= KILLS / 2
    assert not verdict.wrong, verdict.wrong[:20]


async def test_each_part_is_stopped_for_a_while(platform: LocalPlatform, trial: Trial) -> None:
    def stop_each() -> None:
        for part in PARTS:
            pid = platform.programs()[part].pid
            os.kill(pid, signal.SIGSTOP)
            time.sleep(STOPPED_S)
            with suppress(ProcessLookupError):  # its supervisor, or Flink, may have replaced it
                os.kill(pid, signal.SIGCONT)
            time.sleep(BETWEEN_STOPS_S)

    a_person = 6  # events, about
    slowly_per_s = a_person * PEOPLE / (len(PARTS) * (STOPPED_S + BETWEEN_STOPS_S))
    sent = await while_sending(trial.send(PEOPLE, SEED * 1_000_000 + 2 * PEOPLE, slowly_per_s), stop_each)
    await trial.settle()
    verdict = await trial.verdict()
    print(f"{sent} events, each part stopped for {STOPPED_S:.0f} s; {verdict}")
    assert not verdict.wrong, verdict.wrong[:20]


async def test_everything_arrives_three_times(trial: Trial) -> None:
    assert await trial.send_again(2) > 0
    await trial.settle()
    verdict = await trial.verdict()
    assert not verdict.wrong, verdict.wrong[:20]


def test_no_version_went_back(trial: Trial) -> None:
    assert trial.versions_that_went_back() == []
