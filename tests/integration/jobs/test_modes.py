"""Python in the TaskManager's JVM, and Python beside it: the job says which it is, and both agree with the oracle."""

import re
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.faults.trial import Rules, Trial, while_sending
from tests.integration.local.running import LocalPlatform, platform_in, stopped_afterwards, wait_until

pytestmark = pytest.mark.platform

PEOPLE = 60
EVENTS_PER_S = 60.0


def thread_mode(platform: LocalPlatform) -> list[float]:
    """The metric of each subtask, as Flink's REST interface has it."""
    with httpx.Client(base_url=platform.flink_url, timeout=20, trust_env=False) as flink:
        [job] = [job["jid"] for job in flink.get("/jobs/overview").json()["jobs"] if job["state"] == "RUNNING"]
        values = []
        for vertex in flink.get(f"/jobs/{job}").json()["vertices"]:
            metrics = f"/jobs/{job}/vertices/{vertex['id']}/metrics"
            names = [each["id"] for each in flink.get(metrics).json() if each["id"].endswith(".thread_mode")]
            if names:
                values += [float(each["value"]) for each in flink.get(metrics, params={"get": ",".join(names)}).json()]
        return values


def said(platform: LocalPlatform) -> str:
    """The mode that the operators told last."""
    log = (platform.layout.logs / "flink/taskmanager-1.log").read_text()
    return re.findall(r"Python runs in (\w+) mode", log)[-1]


def workers(platform: LocalPlatform) -> list[str]:
    """Python processes below the TaskManagers."""
    managers = [program.pid for name, program in platform.programs().items() if name.startswith("taskmanager")]
    below = [each for pid in managers for each in psutil.Process(pid).children(recursive=True)]
    return [each.name() for each in below if each.name().startswith("python")]


def test_thread_mode_is_what_runs(platform: LocalPlatform) -> None:
    wait_until("both subtasks show their mode", lambda: thread_mode(platform) == [1.0, 1.0])
    assert said(platform) == "thread"
    assert workers(platform) == []


async def test_metrics_may_be_looked_at_all_the_time(platform: LocalPlatform) -> None:
    """Python that Flink's metric threads call crashes a TaskManager in thread mode: there must be none."""
    before = {name: program.pid for name, program in platform.programs().items()}
    looked: list[list[float]] = []

    def look() -> None:
        for _ in range(40):
            looked.append(thread_mode(platform))
            time.sleep(0.5)

    trial = Trial(platform, Rules.random(5, first_pair=50))
    await trial.save_rules()
    await while_sending(trial.send(100, 9_000_000, EVENTS_PER_S), look)
    await trial.remove_rules()
    assert {name: program.pid for name, program in platform.programs().items()} == before
    assert all(values == [1.0, 1.0] for values in looked)


async def test_process_mode_agrees_with_the_oracle(tmp_path: Path) -> None:
    """Also where it begins again from a checkpoint that is older than the rules: they are there before the events."""
    options = {"execution_mode": "process", "checkpoint_interval_ms": "20000"}
    with stopped_afterwards(platform_in(tmp_path, **options)) as started:
        started.up()
        trial = Trial(started, Rules.random(40, first_pair=1))
        await trial.save_rules()
        await while_sending(
            trial.send(PEOPLE, 8_000_000, EVENTS_PER_S),
            lambda: started.kill("taskmanager-1"),
        )
        await trial.settle()
        verdict = await trial.verdict()
        assert said(started) == "process"
        assert workers(started)
        assert verdict.members > PEOPLE
        assert not verdict.wrong, verdict.wrong[:20]
