"""`local` with real parts: starting, state over stops and kills, no orphans. With a tiny job in the real one's place.

The tests build on one another's platform, in their order: each start takes most of a minute.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Consumer, Producer

from tests.integration.local.running import LocalPlatform, listening, platform_in, stopped_afterwards, wait_until

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]
STAND_IN = "tests/integration/local/stand_in_job.py"
PARTS = {"kafka", "postgres", "jobmanager", "taskmanager-1", "taskmanager-2", "rule-evaluation"}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    data = tmp_path_factory.mktemp("local platform")  # with a space: such paths are to work
    made = platform_in(data, services="0", job=STAND_IN, job_name="stand_in", checkpoint_interval_ms="300")
    with stopped_afterwards(made) as platform:
        yield platform


def send(platform: LocalPlatform, key: str, times: int) -> None:
    producer = Producer({"bootstrap.servers": platform.kafka_bootstrap, "acks": "all"})
    for _ in range(times):
        producer.produce("events", key.encode(), key=key)
    assert producer.flush(30) == 0


def counted(platform: LocalPlatform, key: str) -> int:
    """The highest count that the job has given for a key."""
    consumer = Consumer(
        {
            "bootstrap.servers": platform.kafka_bootstrap,
            "group.id": f"test-{time.monotonic_ns()}",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe(["memberships"])
    highest, ended, deadline = 0, set(), time.monotonic() + 30
    while len(ended) < 2 and time.monotonic() < deadline:
        message: Any = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            ended.add(message.partition())
            continue
        name, count = message.value().decode().split()
        if name == key:
            highest = max(highest, int(count))
    consumer.close()
    return highest


def expect(platform: LocalPlatform, key: str, count: int) -> None:
    wait_until(f"{key} counted to {count}", lambda: counted(platform, key) == count)


def healthy(platform: LocalPlatform) -> None:
    """Wait until `make status` says so; fail with what it says otherwise."""
    deadline = time.monotonic() + 180
    while (done := platform.local("status")).returncode != 0:
        assert time.monotonic() < deadline, done.stdout
        time.sleep(0.5)


def test_it_starts_every_part(local: LocalPlatform) -> None:
    assert "The platform is ready" in local.up()
    assert {name for name, program in local.programs().items() if program.pid} == PARTS
    assert local.local("status").returncode == 0


def test_the_job_evaluates_in_thread_mode(local: LocalPlatform) -> None:
    send(local, "a", 5)
    expect(local, "a", 5)
    for name in ("taskmanager-1", "taskmanager-2"):
        assert psutil.Process(local.programs()[name].pid).children() == []


def test_everything_listens_on_this_machine_alone(local: LocalPlatform) -> None:
    addresses = {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in local.family()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}


def test_status_shows_memory_and_lag_and_the_sum(local: LocalPlatform) -> None:
    shown = local.local("status").stdout
    assert "all" in shown
    assert "MiB" in shown
    assert shown.count("healthy") == len(PARTS)


def test_a_second_start_changes_nothing(local: LocalPlatform) -> None:
    before = {name: program.pid for name, program in local.programs().items()}
    local.up()
    assert {name: program.pid for name, program in local.programs().items()} == before


def test_a_port_in_use_is_named_with_its_owner(local: LocalPlatform, tmp_path: Path) -> None:
    other = platform_in(tmp_path, services="0", job=STAND_IN, job_name="stand_in")
    with stopped_afterwards(other), listening(other.settings.port("kafka_port")):
        done = other.local("up")
    assert done.returncode == 1
    for words in (f"port {other.settings.port('kafka_port')}", f"pid {os.getpid()}", "AUDIENCE_LOCAL_PORT_OFFSET"):
        assert words in done.stdout


@pytest.mark.parametrize("part", ["postgres", "taskmanager-1", "kafka", "jobmanager"])
def test_a_killed_part_comes_back_and_the_job_goes_on(local: LocalPlatform, part: str) -> None:
    killed = local.kill(part)
    wait_until(f"{part} is back", lambda: local.programs()[part].pid not in (0, killed))
    healthy(local)
    assert "restarts" in local.local("status").stdout
    send(local, f"after {part}".replace(" ", "-"), 3)
    expect(local, f"after-{part}", 3)
    expect(local, "a", 5)


def test_state_survives_down_and_up(local: LocalPlatform) -> None:
    send(local, "b", 2)
    expect(local, "b", 2)
    time.sleep(1)  # a checkpoint with it
    assert local.local("down").returncode == 0
    assert local.processes() == []
    assert local.local("status").returncode == 1
    local.up()
    send(local, "b", 1)
    expect(local, "b", 3)


def test_a_killed_supervisor_takes_everything_with_it_and_state_survives(local: LocalPlatform) -> None:
    send(local, "c", 2)
    expect(local, "c", 2)
    time.sleep(1)
    family = local.family()
    assert len(family) > len(PARTS)
    family[0].send_signal(signal.SIGKILL)
    wait_until("every process is gone", lambda: not any(each.is_running() for each in family), within_s=30)
    assert local.processes() == []
    local.up()
    send(local, "c", 1)
    expect(local, "c", 3)
    send(local, "a", 1)
    expect(local, "a", 6)


def test_a_broken_off_start_leaves_nothing(local: LocalPlatform) -> None:
    local.local("down")
    start = local.begin("up")
    wait_until("parts are starting", lambda: len(local.processes()) >= 5, within_s=60)
    start.send_signal(signal.SIGINT)
    said, _ = start.communicate(timeout=120)
    assert start.returncode == 130, said
    assert "Stopped" in said
    assert local.processes() == []


def test_reset_says_what_it_removes_and_removes_it(local: LocalPlatform) -> None:
    assert local.layout.data.exists()
    done = local.local("reset")
    assert done.returncode == 0
    assert str(local.layout.data) in done.stdout
    assert not local.layout.data.exists()
