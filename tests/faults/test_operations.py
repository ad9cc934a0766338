"""What operators do to the running job, and a store that is away for long: no difference from an undisturbed run.

AUDIENCE_TRIAL_PEOPLE says how many people there are (300), AUDIENCE_TRIAL_SEED which.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from audience.adapters.kafka.reader import Mark, end_of
from audience.wire.topics import MEMBERSHIPS
from local import lag, services
from local.flink.rest import JobManager
from local.settings import ROOT
from local.supervision import daemon
from tests.faults.trial import Rules, Trial, while_sending
from tests.integration.local.running import LocalPlatform, platform_in, stopped_afterwards

PEOPLE = int(os.environ.get("AUDIENCE_TRIAL_PEOPLE", "300"))
SEED = int(os.environ.get("AUDIENCE_TRIAL_SEED", "1"))
SEGMENTS = 100
EVENTS_PER_S = 60.0
EDITED = "trial-3"
AWAY_S = 120.0
LOOKS = 5


@pytest.fixture(scope="module", params=["hashmap", "rocksdb"])
def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    data = tmp_path_factory.mktemp("operations")
    with stopped_afterwards(platform_in(data, state_backend=request.param)) as started:
        started.up()
        yield started


@pytest.fixture(scope="module")
def trial(platform: LocalPlatform) -> Trial:
    made = Trial(platform, Rules.random(SEGMENTS, first_pair=SEED))
    asyncio.run(made.save_rules())
    return made


def do(platform: LocalPlatform, *command: str) -> str:
    done = platform.local("job", *command)
    assert done.returncode == 0, done.stdout
    print(done.stdout)
    return done.stdout


def tasks(platform: LocalPlatform) -> int:
    """Subtasks of the job that runs."""
    [job] = [job for job in JobManager(platform.flink_url).jobs(platform.settings.job_name) if job.active]
    assert job.healthy
    return job.tasks


async def test_savepoint_upgrade_rescale_and_an_edited_rule(platform: LocalPlatform, trial: Trial) -> None:
    wide = tasks(platform)

    def operate() -> None:
        assert "savepoint-" in do(platform, "savepoint")
        do(platform, "upgrade")
        do(platform, "rescale", "1")
        assert tasks(platform) == wide / 2
        # What the rule counts stays the same, so that it need not be known from before the edit.
        asyncio.run(trial.edit(EDITED, {"not": trial.rule(EDITED)}))
        do(platform, "rescale", "2")
        assert tasks(platform) == wide

    sent = await while_sending(trial.send(PEOPLE, SEED * 1_000_000, EVENTS_PER_S), operate)
    await trial.touch()
    await trial.settle()
    verdict = await trial.verdict()
    print(f"{sent} events; {verdict}")
    assert not verdict.wrong, verdict.wrong[:20]


async def test_postgresql_is_away_for_two_minutes(platform: LocalPlatform, trial: Trial) -> None:
    told: list[int] = []
    behind: list[int | None] = []

    def records() -> int:
        mark: Mark = end_of(platform.kafka_bootstrap, MEMBERSHIPS)
        return sum(mark.values())

    def take_away() -> None:
        supervisor = daemon.connect(platform.layout)
        time.sleep(5)
        supervisor.stop("postgres", wait=True)
        began = time.monotonic()
        while time.monotonic() - began < AWAY_S:
            time.sleep(AWAY_S / 6)
            told.append(records())
            behind.append(lag.by_group(platform.kafka_bootstrap)["rule-evaluation"])
        supervisor.start("postgres")

    people = int(AWAY_S * EVENTS_PER_S / 8)
    await while_sending(trial.send(people, SEED * 1_000_000 + 500_000, EVENTS_PER_S), take_away)
    print(f"changes told while it was away: {told}; the job's lag: {behind}")
    assert told == sorted(set(told)), "evaluation stood still, or nobody was told"
    await trial.settle()
    verdict = await trial.verdict()
    print(verdict)
    assert not verdict.wrong, verdict.wrong[:20]
    # Timers fire meanwhile, and a size may move between the reading of the topic and the counting of the rows.
    looks: list[subprocess.CompletedProcess[str]] = []
    while not looks or (looks[-1].returncode and len(looks) < LOOKS):
        looks.append(stores(platform, "verify"))
    assert looks[-1].returncode == 0, looks[-1].stdout


def test_no_version_went_back(trial: Trial) -> None:
    assert trial.versions_that_went_back() == []


def stores(platform: LocalPlatform, what: str) -> subprocess.CompletedProcess[str]:
    """``audience-ops stores``."""
    environment = {"PATH": os.defpath, **services.environment(platform.settings, platform.layout, {})}
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "services.operations", "stores", what],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
