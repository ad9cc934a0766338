"""Runs peers in turns over the same work, and holds their answers against each other and the oracle.

A peer is there and idle when its turn begins. Then all events go to its topic, markers behind them, and the time counts
until the output of the last marker: what came before it in its partition has then been evaluated. Events cannot come
faster than they are sent; sending is the same for all.
"""

import asyncio
import json
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import msgspec

from audience.adapters.kafka.admin import Topic, create_topics
from audience.adapters.kafka.producer import open_event_log
from audience.adapters.kafka.reader import end_of, read_between
from audience.ports.event_log import LogRecord
from audience.wire.topics import EVENTS, MEMBERSHIPS
from load_tests.peers.work import WORKSPACE, Work, markers, renamed
from local.settings import ROOT

PIECE: Final = 500
GIVE_UP_S: Final = 300.0
READY_S: Final = 120.0
LOOK_EVERY_S: Final = 0.2
IN_EFFECT_S: Final = 3.0
LOOKUP: Final = 1_000
TOGETHER: Final = 8


class NotRun(Exception):
    """A peer did not do its work; the message says why."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of a peer. `answers` are the segments of each profile of the work, under its name in the work."""

    peer: str
    events: int
    seconds: float
    answers: Mapping[str, frozenset[str]]

    @property
    def events_per_s(self) -> float:
        return self.events / self.seconds


class Peer(Protocol):
    """Something that evaluates rules over a topic. A context manager: while entered, it runs."""

    @property
    def name(self) -> str: ...
    @property
    def lacks(self) -> Sequence[str]:
        """What it does not do, and the platform does."""

    def prepare(self, work: Work) -> None:
        """Start, and return when it evaluates what comes. Raises NotRun."""

    def run(self, work: Work, run: str) -> float:
        """Evaluate the work's events as those of `run`; the seconds that it took. Raises NotRun."""

    def answers(self, work: Work, run: str) -> Mapping[str, frozenset[str]]:
        """The memberships after `run`. Raises NotRun."""

    def close(self) -> None:
        """End, and leave nothing behind."""


def turn(peer: Peer, work: Work) -> Turn:
    """One run, with its answers."""
    run = secrets.token_hex(3)
    seconds = peer.run(work, run)
    return Turn(peer.name, len(work.events), seconds, peer.answers(work, run))


def differences(turns: Sequence[Turn], work: Work) -> list[str]:
    """Where any turn's answers are not the oracle's, or not those of the first turn."""
    found = []
    first = turns[0].answers
    for each in turns:
        for profile, wanted in work.oracle.items():
            if each.answers.get(profile, frozenset()) != wanted:
                odd = sorted(each.answers.get(profile, frozenset()) ^ wanted)
                found.append(f"{each.peer}: {profile} differs from the oracle in {', '.join(odd[:3])}")
        found += [
            f"{each.peer}: {profile} differs from {turns[0].peer}"
            for profile in work.profiles
            if each.answers.get(profile, frozenset()) != first.get(profile, frozenset())
        ]
    return found


async def send(bootstrap: str, topic: str, records: Sequence[tuple[str, bytes]]) -> None:
    """All of them, in order within each key."""
    under_way: list[asyncio.Task[None]] = []
    async with open_event_log(bootstrap, "peers", timeout_s=60.0) as log:
        for start in range(0, len(records), PIECE):
            piece = [LogRecord(topic, key, value) for key, value in records[start : start + PIECE]]
            under_way.append(asyncio.create_task(log.append(piece)))
            await asyncio.sleep(0)
            if len(under_way) >= 2 * TOGETHER:
                await under_way.pop(0)
        await asyncio.gather(*under_way)


def wait_for(bootstrap: str, topic: str, start: Mapping[int, int], keys: Iterable[str], give_up_s: float) -> None:
    """Return when a record of each key stands behind `start`. Raises NotRun."""
    left = set(keys)
    ends_s = time.monotonic() + give_up_s
    while left:
        end = end_of(bootstrap, topic)
        left -= {record.key for record in read_between(bootstrap, topic, start, end)}
        start = end
        if time.monotonic() > ends_s:
            raise NotRun(f"{len(left)} of the last events were not evaluated within {give_up_s:.0f} s")
        time.sleep(LOOK_EVERY_S)


def timed(bootstrap: str, into: str, out: str, work: Work, run: str) -> float:
    """Send a run's events and wait for its markers; the seconds."""
    records = renamed(work.events, run)
    last = markers(run, "last")
    start = end_of(bootstrap, out)
    began = time.monotonic()
    asyncio.run(send(bootstrap, into, [*records, *last.items()]))
    wait_for(bootstrap, out, start, last, GIVE_UP_S)
    return time.monotonic() - began


class Ours:
    """The streaming job of the platform of `make up`, whose memberships are read from the segment API."""

    name = "audience manager"
    lacks: Sequence[str] = ()

    def __init__(self, bootstrap: str, segments: str, token: str) -> None:
        self._bootstrap = bootstrap
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=f"{segments}/v1", headers=headers, timeout=60, trust_env=False)
        self._created: list[str] = []

    def prepare(self, work: Work) -> None:
        for key, rule in work.rules.items():
            asked = {"key": key, "rule": rule, "status": "live", "tags": ["peers"]}
            answer = self._client.post("/segments", json=asked)
            if answer.status_code != httpx.codes.CREATED:
                raise NotRun(f"{key} was not created: {answer.status_code} {answer.text}")
            self._created.append(key)
        time.sleep(IN_EFFECT_S)

    def run(self, work: Work, run: str) -> float:
        return timed(self._bootstrap, EVENTS, MEMBERSHIPS, work, run)

    def answers(self, work: Work, run: str) -> Mapping[str, frozenset[str]]:
        """What the API answers, when it has answered the same twice: the stores are a moment behind the job."""
        before, found = None, self._answers(work, run)
        while found != before:
            time.sleep(1.0)
            before, found = found, self._answers(work, run)
        return found

    def _answers(self, work: Work, run: str) -> dict[str, frozenset[str]]:
        found = {}
        names = work.profiles
        for start in range(0, len(names), LOOKUP):
            asked = {"profile_ids": [f"{run}-{name}" for name in names[start : start + LOOKUP]]}
            answer = self._client.post("/memberships/lookup", json=asked)
            if answer.status_code != httpx.codes.OK:
                raise NotRun(f"memberships cannot be read: {answer.status_code} {answer.text}")
            told = answer.json()["memberships"]
            for name in names[start : start + LOOKUP]:
                found[name] = frozenset(key for key in told[f"{run}-{name}"] if key in work.rules)
        return found

    def close(self) -> None:
        for key in self._created:
            with suppress(httpx.HTTPError):  # what is left says so by its tag
                self._client.delete(f"/segments/{key}")
        self._client.close()


class QuixProcesses:
    """A Quix Streams service as two processes over a topic of two partitions. `module` takes quix_plain's options."""

    def __init__(self, name: str, module: str, lacks: Sequence[str], bootstrap: str) -> None:
        self.name = name
        self.lacks = lacks
        self._module = module
        self._bootstrap = bootstrap
        self._stack = ExitStack()
        mark = secrets.token_hex(4)
        self._group, self._input, self._output = (f"peers-{mark}-{each}" for each in ("group", "events", "memberships"))

    def prepare(self, work: Work) -> None:
        python = ROOT / ".venv-peers/bin/python"
        if not python.exists():
            raise NotRun(f"{python} is not there: run `make setup-peers`")
        topics = [Topic(name, by_profile=True, retention_ms=24 * 3_600_000) for name in (self._input, self._output)]
        create_topics(self._bootstrap, partitions=2, replicas=1, topics=topics)
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="peers-")))
        rules = folder / "rules.json"
        rules.write_text(json.dumps(work.rules), encoding="utf-8")
        command = [str(python), "-m", self._module, "--bootstrap", self._bootstrap, "--group", self._group]
        command += ["--input", self._input, "--output", self._output, "--rules", str(rules)]
        self._processes = [self._start([*command, "--state", str(folder / f"state-{each}")], each) for each in range(2)]
        start = end_of(self._bootstrap, self._output)
        # Two rounds: the second is answered when both processes have their partitions for good.
        for round_ in ("first", "second"):
            there = markers(secrets.token_hex(3), round_)
            asyncio.run(send(self._bootstrap, self._input, list(there.items())))
            wait_for(self._bootstrap, self._output, start, there, READY_S)
            time.sleep(3.0)

    def _start(self, command: Sequence[str], number: int) -> "subprocess.Popen[bytes]":
        log = ROOT / "load_tests/reports/logs" / f"{self.name.replace(', ', '-').replace(' ', '-')}-{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        out = self._stack.enter_context(log.open("wb"))
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, env=dict(os.environ))  # noqa: S603  ours
        self._stack.callback(_end, process)
        return process

    def run(self, work: Work, run: str) -> float:
        self._require_alive()
        seconds = timed(self._bootstrap, self._input, self._output, work, run)
        self._require_alive()
        return seconds

    def _require_alive(self) -> None:
        if any(process.poll() is not None for process in self._processes):
            raise NotRun(f"a process of {self.name} has ended; its log in load_tests/reports/logs says why")

    def answers(self, work: Work, run: str) -> Mapping[str, frozenset[str]]:
        begin: dict[int, int] = {}
        found: dict[str, set[str]] = {name: set() for name in work.profiles}
        prefix = f"{WORKSPACE}:{run}-"
        for record in read_between(self._bootstrap, self._output, begin, end_of(self._bootstrap, self._output)):
            name = record.key.removeprefix(prefix)
            if name == record.key or name not in found:
                continue
            told: dict[str, Any] = msgspec.json.decode(record.value or b"{}")
            (set.add if told["member"] else set.discard)(found[name], told["segment"])
        return {name: frozenset(keys) for name, keys in found.items()}

    def close(self) -> None:
        self._stack.close()


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
