"""What the stores and the job knew is made anew: from the log, and where that has forgotten, from the lake."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import asyncpg
import pytest
from confluent_kafka import TopicPartition

from audience.adapters.kafka.offsets import TIMEOUT_S, open_admin
from audience.adapters.kafka.reader import end_of
from audience.wire.topics import EVENTS
from local import services
from local.settings import ROOT
from services.operations.stores import DIFFERENT
from tests.faults.trial import Rules, Trial
from tests.integration.local.running import LocalPlatform, platform_in, stopped_afterwards

PEOPLE = int(os.environ.get("AUDIENCE_TRIAL_PEOPLE", "200"))
SEED = int(os.environ.get("AUDIENCE_TRIAL_SEED", "1"))
SEGMENTS = 40
TRIES = 5
STORES = ("profile_records", "membership_versions", "memberships", "segment_sizes")


@pytest.fixture
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    with stopped_afterwards(platform_in(tmp_path_factory.mktemp("rebuild"))) as started:
        started.up()
        yield started


async def test_stores_and_job_are_made_anew(platform: LocalPlatform) -> None:
    trial = Trial(platform, Rules.random(SEGMENTS, first_pair=SEED))
    await trial.send(PEOPLE, SEED * 1_000_000, 200.0)
    await trial.save_rules()
    await trial.send(PEOPLE, SEED * 1_000_000 + PEOPLE, 200.0)
    await trial.backfilled(180)
    await trial.settle()
    trial.remember()
    before = await trial.stored()
    assert sum(len(keys) for _, keys in before.values()) > PEOPLE

    # 1. The stores are wiped: the log has the newest record of each profile.
    await wipe(platform)
    assert not any(keys for _, keys in (await trial.stored()).values())
    rebuild(platform)
    after = await trial.stored()
    moved = [
        person for person in trial.people if after[person] != before[person] and after[person][0] <= before[person][0]
    ]
    assert not moved, moved[:10]
    assert not (verdict := await trial.verdict()).wrong, verdict.wrong[:20]

    # 2. The log has forgotten half of the events, the job's state is gone, the stores are wiped.
    forget_half(platform)
    assert platform.local("down").returncode == 0
    shutil.rmtree(platform.layout.checkpoints)
    shutil.rmtree(platform.layout.savepoints, ignore_errors=True)
    platform.up()
    await wipe(platform)
    said = rebuild(platform, "--job")
    print(said)
    await trial.settle()
    rebuild(platform)
    assert not (verdict := await trial.verdict()).wrong, verdict.wrong[:20]
    assert verdict.members > PEOPLE
    last = await trial.stored()
    assert all(last[person][0] >= version for person, (version, _) in before.items())


async def wipe(platform: LocalPlatform) -> None:
    connection = await asyncpg.connect(platform.postgres_dsn)
    try:
        await connection.execute(f"TRUNCATE {', '.join(STORES)}")
    finally:
        await connection.close()


def forget_half(platform: LocalPlatform) -> None:
    ends = end_of(platform.kafka_bootstrap, EVENTS)
    asked = [TopicPartition(EVENTS, partition, end // 2) for partition, end in ends.items()]
    admin = open_admin(platform.kafka_bootstrap)  # what it was asked for ends with it
    for future in admin.delete_records(asked, request_timeout=TIMEOUT_S).values():
        future.result(TIMEOUT_S)


def rebuild(platform: LocalPlatform, *options: str) -> str:
    """Until the stores are right: who moves meanwhile, by time alone, shows as a difference of sizes."""
    for left in reversed(range(TRIES)):
        done = subprocess.run(  # noqa: S603  a command of ours
            [sys.executable, "-m", "services.operations", "rebuild", *options],
            cwd=ROOT,
            env={"PATH": os.defpath, **services.environment(platform.settings, platform.layout, {})},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode == 0:
            return done.stdout
        assert done.returncode == DIFFERENT and left, done.stdout + done.stderr  # noqa: PT018  what was said tells which
        options = ()
    raise AssertionError("there was no try")
