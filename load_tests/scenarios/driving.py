"""Drives a platform: makes the segments, starts the canary, the load's processes and the observer, ends them again.

Refuses a platform that does not take segments, and a load that does not run, with CannotDrive.
"""

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from load_tests.scenarios import measuring
from load_tests.scenarios.plan import Scenario
from load_tests.shop.segments import segments
from local import lag, services
from local.settings import ROOT, load

READY_S: Final = 120.0
BEGIN_S: Final = 1.0
"""Every process of the load has seen the word by then."""
IN_EFFECT_S: Final = 3.0
DRAINED_S: Final = 120.0
LOCUST: Final = Path(__file__).with_name("locustfile.py")


class CannotDrive(Exception):
    """The platform does not let itself be driven; the message says why."""


class Segments:
    """The segments of the run. Raises CannotDrive."""

    def __init__(self, address: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=f"{address}/v1", headers=headers, timeout=30, trust_env=False)

    def create(self, count: int, seed: int) -> None:
        for segment in segments(count, seed):
            answer = self._call("POST", "/segments", json=segment)
            if answer.status_code not in (httpx.codes.CREATED, httpx.codes.CONFLICT):
                raise CannotDrive(f"{segment['key']} was not created: {answer.status_code} {answer.text}")

    def live(self) -> dict[str, Any]:
        """The rules of all live segments, by key: what every event may select."""
        found: dict[str, Any] = {}
        cursor: str | None = None
        while True:
            asked = {"status": "live", "limit": 100} | ({"cursor": cursor} if cursor else {})
            answer = self._call("GET", "/segments", params=asked)
            if answer.status_code != httpx.codes.OK:
                raise CannotDrive(f"segments cannot be listed: {answer.status_code} {answer.text}")
            told = answer.json()
            found |= {each["key"]: each["rule"] for each in told["segments"]}
            if not (cursor := told.get("next_cursor")):
                return found

    def remove(self, count: int, seed: int) -> None:
        for segment in segments(count, seed):
            with suppress(CannotDrive):  # what is left says so by its tag
                self._call("DELETE", f"/segments/{segment['key']}")

    def _call(self, method: str, path: str, **how: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **how)
        except httpx.HTTPError as error:
            raise CannotDrive(f"the segment API does not answer: {type(error).__name__} {error}") from error


@contextmanager
def started(
    command: Sequence[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process for as long as the block lasts; at the end it is asked to end, and waited for."""
    with log.open("ab") as out:
        process = subprocess.Popen(  # noqa: S603  our own modules
            command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, **(environment or {})}
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(90)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def drive(scenario: Scenario, asked: argparse.Namespace, folder: Path, console: Console) -> None:
    """Run it; what it leaves is in the folder. Raises CannotDrive."""
    api = Segments(asked.segments, asked.token)
    api.create(scenario.segments, asked.seed)
    skip_s = _done(folder) if asked.resume else 0.0
    run = f"load-{secrets.token_hex(4)}"
    where = ("--ingest", asked.ingest, "--segments", asked.segments)
    python = sys.executable
    secrets_of = {"AUDIENCE_WRITE_KEY": asked.write_key, "AUDIENCE_API_TOKEN": asked.token}
    try:
        rules = api.live()
        time.sleep(IN_EFFECT_S)
        with ExitStack() as stack:
            canary = (
                python,
                "-m",
                "load_tests.canary",
                *where,
                "--key",
                f"{run}-canary",
                "--every",
                str(asked.canary_every),
            )
            canary += ("--samples", str(folder / "canary.jsonl"), "--port", str(asked.canary_port))
            stack.enter_context(started(canary, folder / "canary.log", secrets_of))
            if asked.local:
                observe = (python, "-m", "load_tests.scenarios.observe", "--out", str(folder / "observed.jsonl"))
                stack.enter_context(started(observe, folder / "observe.log"))
            loads = []
            for process in range(asked.processes):
                plan = {
                    "scenario": asdict(scenario),
                    "process": process,
                    "processes": asked.processes,
                    "ready": str(folder / f"ready-{process}"),
                    "begin": str(folder / "begin"),
                    "skip_s": skip_s,
                    "ingest": asked.ingest,
                    "segments": asked.segments,
                    "write_key": asked.write_key,
                    "token": asked.token,
                    "seed": asked.seed + int(skip_s),
                    "run": run,
                    "rules": rules,
                    "out": str(folder / f"load-{process}.jsonl"),
                }
                loads.append(stack.enter_context(locust(plan, folder)))
            begins_at = begin(folder, loads)
            _append_run(folder, begins_at, skip_s)
            _wait(scenario.seconds - skip_s, begins_at, loads, console)
        if asked.local:
            _drain(console)
    finally:
        if not asked.keep:
            api.remove(scenario.segments, asked.seed)


@contextmanager
def locust(plan: dict[str, Any], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """One process of the load. Its plan holds the credentials, and goes with it."""
    number = plan["process"]
    users = str(len(range(number, plan["scenario"]["users"], plan["processes"])))
    command = (sys.executable, "-m", "locust", "-f", str(LOCUST), "--headless", "-u", users, "-r", users)
    command += ("--stop-timeout", "40", "--only-summary", "--loglevel", "WARNING")
    file = folder / f"plan-{number}.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(plan), encoding="utf-8")
    try:
        with started(command, folder / "locust.log", {"AUDIENCE_LOAD_PLAN": str(file)}) as process:
            yield process
    finally:
        for each in (file, Path(plan["ready"]), Path(plan["begin"])):
            each.unlink(missing_ok=True)


def begin(folder: Path, loads: Sequence["subprocess.Popen[bytes]"]) -> float:
    """Have all processes begin together once all are ready; gives the Unix time of it. Raises CannotDrive."""
    ends = time.monotonic() + READY_S
    while len(list(folder.glob("ready-*"))) < len(loads):
        if time.monotonic() > ends or any(load.poll() is not None for load in loads):
            raise CannotDrive("the load does not become ready; locust.log in the report's folder says why")
        time.sleep(0.1)
    begins_at = time.time() + BEGIN_S
    file = folder / "begin.new"
    file.write_text(str(begins_at), encoding="ascii")
    file.rename(folder / "begin")
    return begins_at


def _wait(seconds: float, begins_at: float, loads: Sequence["subprocess.Popen[bytes]"], console: Console) -> None:
    """Until every process of the load has ended. Raises CannotDrive where one ends badly."""
    bars = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*bars, console=console) as progress:
        task = progress.add_task("Load", total=seconds)
        while any(load.poll() is None for load in loads):
            progress.update(task, completed=min(seconds, max(0.0, time.time() - begins_at)))
            time.sleep(0.5)
    if failed := [load.returncode for load in loads if load.returncode]:
        raise CannotDrive(f"the load ended with status {failed[0]}; locust.log in the report's folder says why")


def _drain(console: Console) -> None:
    """Until nobody is behind, or time is up: what then is left shows in the canary and the lag's plot."""
    settings = load(os.environ)
    ends = time.monotonic() + DRAINED_S
    with console.status("Waiting until every event has counted …"):
        while lag.total(services.kafka(settings)) != 0 and time.monotonic() < ends:
            time.sleep(1.0)


def _done(folder: Path) -> float:
    """How many seconds of the scenario lie in the folder already."""
    found = measuring.load(folder).recording.seconds if (folder / "runs.json").exists() else []
    return float(found[-1] + 1) if found else 0.0


def _append_run(folder: Path, begins_at: float, skip_s: float) -> None:
    file = folder / "runs.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    file.write_text(json.dumps([*known, {"begins_at": begins_at, "skip_s": skip_s}]), encoding="utf-8")
