"""The users of a scenario, under Locust: each sends its part of the requests when they are due, and records answers.

Locust alone is a closed loop: a user waits for its answer before the next request, and so spares a server that has
become slow. Here a user only keeps the time, and each request is a greenlet of its own. Read from the file that
`AUDIENCE_LOAD_PLAN` names, which `load_tests.scenarios` writes; one process, of perhaps several.
"""

import dataclasses
import json
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import gevent
import msgspec
from gevent.event import Event
from gevent.pool import Pool
from locust import FastHttpUser, events, task

from load_tests.scenarios.plan import Phase, Scenario, due_times
from load_tests.scenarios.recording import Recording
from load_tests.selected import Index
from load_tests.shop import generator
from load_tests.shop.generator import Sent, Shop

FLUSH_EVERY_S: Final = 2.0
UNDER_WAY: Final = 100
"""Requests that one user has under way at most; those that are due beyond that wait, and their time counts."""
KNOWN_PROFILES: Final = 2_000
KNOWN_AFTER_S: Final = 5.0
"""So long after its event was taken a profile is asked for: one that is unknown by then is a fault."""
LAST_ANSWERS_S: Final = 30.0

API_MIX: Final = (
    ("memberships", 60),
    ("lookup", 10),
    ("profile", 8),
    ("size", 10),
    ("members", 5),
    ("segments", 4),
    ("explain", 3),
)
WRITES: Final = ("segment written", 1)


class Plan(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What this process does: its part of a scenario, of which `skip_s` has been done before.

    It makes the file `ready` when it can begin, and begins at the Unix time that it finds in the file `begin`.
    """

    scenario: dict[str, Any]
    process: int
    processes: int
    ready: str
    begin: str
    skip_s: float
    ingest: str
    segments: str
    write_key: str
    token: str
    seed: int
    run: str
    rules: dict[str, Any]
    out: str

    def shape(self) -> Scenario:
        phases = tuple(Phase(**each) for each in self.scenario["phases"])
        return Scenario(**{**self.scenario, "phases": phases})


@dataclass(slots=True)
class Load:
    """What the users of this process share."""

    plan: Plan
    scenario: Scenario
    stream: Iterator[Sent]
    index: Index
    recording: Recording
    known: deque[str]
    fresh: deque[tuple[float, str]]
    deck: Iterator[str]
    chance: random.Random
    users: int = 0
    environment: Any = None
    begins_at: float = 0.0
    begun: Event = dataclasses.field(default_factory=Event)

    @classmethod
    def of(cls, path: Path) -> "Load":
        plan = msgspec.json.decode(path.read_bytes(), type=Plan)
        scenario = plan.shape()
        shop = Shop(
            seed=plan.seed + plan.process,
            users=scenario.profiles,
            rate_per_s=max(1.0, scenario.events_per_s / plan.processes),
            late_share=scenario.late_share,
            duplicate_share=scenario.duplicate_share,
            bad_share=scenario.bad_share,
        )
        chance = random.Random(plan.seed)
        mix = (*API_MIX, WRITES) if scenario.writes else API_MIX
        deck = [kind for kind, weight in mix for _ in range(weight)]
        chance.shuffle(deck)  # the shares hold in every hundred requests, not only on average
        return cls(
            plan=plan,
            scenario=scenario,
            stream=generator.events(shop, f"{plan.run}-{plan.process}"),
            index=Index(plan.rules.values()),
            recording=Recording(),
            known=deque(maxlen=KNOWN_PROFILES),
            fresh=deque(),
            deck=cycle(deck),
            chance=chance,
        )

    def flush(self) -> None:
        """Append what was recorded since the last time, and forget it."""
        done, self.recording = self.recording, Recording()
        with Path(self.plan.out).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in done.lines())


LOAD: Final = Load.of(Path(os.environ["AUDIENCE_LOAD_PLAN"]))


@dataclass(frozen=True, slots=True)
class Due:
    """A request that was due at a Unix time. It was known of `late_s` later: the load generator's own part."""

    send: "Callable[[Due], None]"
    at: float
    late_s: float


class ShopUser(FastHttpUser):  # type: ignore[misc]  # Locust's types are not complete
    """One user: a part of the events, and of the API's requests."""

    host = LOAD.plan.ingest
    concurrency = 2 * UNDER_WAY
    network_timeout = 30.0
    connection_timeout = 10.0
    wait_time = staticmethod(lambda: 3600.0)

    def on_start(self) -> None:
        number = LOAD.plan.process + LOAD.users * LOAD.plan.processes
        LOAD.users += 1
        self._step = (number + 0.5) / LOAD.scenario.users
        """Users keep evenly out of step, so that what they send together is even."""
        self._pool = Pool(UNDER_WAY)
        self._backlog: deque[Due] = deque()
        authorization = {"Authorization": f"Bearer {LOAD.plan.token}"}
        self._headers = authorization | {"Content-Type": "application/json"}

    @task
    def everything(self) -> None:
        """Send until the scenario ends, then wait for the last answers."""
        scenario, users = LOAD.scenario, LOAD.scenario.users
        single = scenario.events_per_s * scenario.single_share / users
        batches = scenario.events_per_s * (1 - scenario.single_share) / scenario.batch / users
        jobs = (
            gevent.spawn(self._keep, single, self._single),
            gevent.spawn(self._keep, batches, self._batch),
            gevent.spawn(self._keep, scenario.requests_per_s / users, self._ask),
        )
        gevent.joinall(jobs, raise_error=True)
        self._pool.join(timeout=LAST_ANSWERS_S)

    def _keep(self, rate: float, send: Callable[[Due], None]) -> None:
        """Begin each request when it is due."""
        LOAD.begun.wait()
        began = LOAD.begins_at
        for due in due_times(LOAD.scenario.phases, rate, self._step):
            if due < LOAD.plan.skip_s:
                continue
            due_at = began + due - LOAD.plan.skip_s
            gevent.sleep(max(0.0, due_at - time.time()))
            waiting = Due(send, due_at, max(0.0, time.time() - due_at))
            if self._pool.free_count():
                self._pool.spawn(self._work, waiting)
            else:
                self._backlog.append(waiting)

    def _work(self, due: "Due") -> None:
        """Send it, then what has become due while all connections were taken."""
        while True:
            try:
                due.send(due)
            except Exception as error:  # noqa: BLE001  what a request ends with is what is measured
                late_s = time.time() - due.at
                LOAD.recording.take(self._second(due.at), "load generator", late_s, 0.0, type(error).__name__)
            if not self._backlog:
                return
            due = self._backlog.popleft()

    def _second(self, due_at: float) -> int:
        return int(due_at - LOAD.begins_at + LOAD.plan.skip_s)

    def _request(self, kind: str, due: Due, method: str, url: str, sent: list[Sent] | None = None, **how: Any) -> Any:
        """One request; its latency counts from when it was due."""
        with self.client.request(method, url, name=kind, catch_response=True, **how) as answer:
            latency_s = time.time() - due.at
            answer.request_meta["response_time"] = latency_s * 1000  # Locust's own figures count so too
            fault = ""
            if answer.status_code not in (200, 201, 204):
                fault = str(answer.status_code or type(answer.request_meta["exception"]).__name__)
                answer.failure(fault)
            else:
                answer.success()
        count = sum(each.kind != "bad" for each in sent or ())
        cell = LOAD.recording.take(self._second(due.at), kind, latency_s, due.late_s, fault, count)
        for each in sent or ():
            if not fault and each.kind == "good":
                body = each.body
                cell.selected += LOAD.index.count(
                    body["type"], body.get("event") or body.get("name") or "", body.get("traits", ())
                )
                cell.full += LOAD.index.rules
                if "userId" in body:
                    LOAD.fresh.append((time.time(), body["userId"]))
        return answer

    def _single(self, due: Due) -> None:
        sent = next(LOAD.stream)
        body = msgspec.json.encode(_now(sent))
        route = "track" if sent.kind == "bad" else sent.body["type"]
        url = f"{LOAD.plan.ingest}/v1/{route}"
        self._request("single event", due, "POST", url, [sent], data=body, auth=(LOAD.plan.write_key, ""))

    def _batch(self, due: Due) -> None:
        sent = list(islice(LOAD.stream, LOAD.scenario.batch))
        body = msgspec.json.encode({"batch": [_now(each) for each in sent]})
        url = f"{LOAD.plan.ingest}/v1/batch"
        self._request("batch of events", due, "POST", url, sent, data=body, auth=(LOAD.plan.write_key, ""))

    def _ask(self, due: Due) -> None:
        while LOAD.fresh and LOAD.fresh[0][0] < time.time() - KNOWN_AFTER_S:
            LOAD.known.append(LOAD.fresh.popleft()[1])
        chance, base, kind = LOAD.chance, f"{LOAD.plan.segments}/v1", next(LOAD.deck)
        profile = chance.choice(LOAD.known) if LOAD.known else "customer-0000001"
        segment = chance.choice(list(LOAD.plan.rules)) if LOAD.plan.rules else ""
        needs_profile, needs_segment = kind in ("profile", "explain"), kind in ("size", "members", "explain")
        if (needs_profile and not LOAD.known) or (needs_segment and not segment):
            kind = "memberships"
        match kind:
            case "lookup":
                asked = {"profile_ids": [f"customer-{chance.randrange(10_000):07}" for _ in range(20)]}
                body = msgspec.json.encode(asked)
                url = f"{base}/memberships/lookup"
                self._request(kind, due, "POST", url, data=body, headers=self._headers)
            case "segment written":
                self._write(due, f"{base}/segments")
            case _:
                url = {
                    "memberships": f"{base}/profiles/{profile}/segments",
                    "profile": f"{base}/profiles/{profile}",
                    "explain": f"{base}/profiles/{profile}/explain/{segment}",
                    "size": f"{base}/segments/{segment}/size",
                    "members": f"{base}/segments/{segment}/members?limit=100",
                    "segments": f"{base}/segments?limit=50",
                }[kind]
                self._request(kind, due, "GET", url, headers=self._headers)

    def _write(self, due: Due, url: str) -> None:
        """A draft comes and goes."""
        key = f"{LOAD.plan.run}-{LOAD.chance.getrandbits(40):x}"[:63].lower()
        draft = {"key": key, "rule": {"event": "Order Completed"}, "tags": ["load"]}
        self._request("segment written", due, "POST", url, data=json.dumps(draft), headers=self._headers)
        now = Due(self._ask, time.time(), 0.0)
        self._request("segment written", now, "DELETE", f"{url}/{key}", headers=self._headers)


def _now(sent: Sent) -> dict[str, Any]:
    now_ms = time.time_ns() // 1_000_000
    body = sent.body
    return {
        **body,
        "timestamp": body.get("timestamp", generator.iso(now_ms - sent.late_ms)),
        "sentAt": generator.iso(now_ms),
    }


@events.init.add_listener
def _know(environment: Any, **_: Any) -> None:
    LOAD.environment = environment


@events.spawning_complete.add_listener
def _begin(**_: Any) -> None:
    def flush() -> None:
        while True:
            gevent.sleep(FLUSH_EVERY_S)
            LOAD.flush()

    def conduct() -> None:
        Path(LOAD.plan.ready).touch()
        begin = Path(LOAD.plan.begin)
        while not begin.exists():
            gevent.sleep(0.05)
        LOAD.begins_at = float(begin.read_text(encoding="ascii"))
        LOAD.begun.set()
        gevent.sleep(max(0.0, LOAD.begins_at + LOAD.scenario.seconds - LOAD.plan.skip_s + 1.0 - time.time()))
        LOAD.environment.runner.quit()  # which waits for the last answers

    gevent.spawn(flush)
    gevent.spawn(conduct)


@events.quitting.add_listener
def _end(environment: Any, **_: Any) -> None:
    LOAD.flush()
    environment.process_exit_code = 0  # objectives are judged by who started this
