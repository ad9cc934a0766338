"""A trial of the running platform against the oracle: random rules, random people, and whatever is done to the parts.

Rules and histories are those of tests.generate, with every event moved so that "now" is the moment it is sent; windows
end, and timers fire, all the while. What the oracle is given is what the topic `events` holds: every accepted event, in
order of arrival. So an event that was acknowledged and lost, or that counted twice, shows as a wrong membership.
"""

import asyncio
import json
import math
import random
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from audience.adapters.kafka.producer import open_event_log
from audience.adapters.kafka.reader import end_of, read_between
from audience.adapters.postgres.pool import open_pool
from audience.adapters.postgres.profile_store import PostgresProfileStore
from audience.adapters.regex import compile_regex
from audience.rules import RuleInvalid, parse_rule
from audience.wire import topics
from local import lag
from tests.generate import Features, pair
from tests.integration.addresses import Addresses
from tests.oracle import Event, World, candidate_times, member
from tests.oracle.times import duration_ms

FEATURES: Final = Features(
    lists=False, segments=False, computed=False, paused=False, ties=False, other_profiles=False
)  # what there is no route for yet, and what needs a second source
BATCH: Final = 50
UNDER_WAY: Final = 4
"""Batches that are sent at once. They may arrive in any order: the oracle takes events as the topic has them."""
IN_EFFECT_S: Final = 4.0
ACCEPTED_FOR_S: Final = 180.0
"""For so long a batch is sent again; no part may be away for longer."""
SETTLED_S: Final = 12.0
"""Nobody is behind for so long: an idle source commits every 10 s."""
HASTENED_S: Final = 90
_DURATION: Final = re.compile(r"[1-9][0-9]*[smhdw]")
MARGIN_MS: Final = 4_000
"""Around the moment of comparing: whose membership may change then is not compared."""


class Refused(Exception):
    """An API did not answer, or not with 200."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Segments by key; each may refer to those before it."""

    by_key: Mapping[str, Mapping[str, Any]]

    @classmethod
    def random(cls, count: int, first_pair: int, *, hastened: bool = False) -> "Rules":
        """So many. `hastened`: with windows of seconds, in place of up to two years: see `hastened_ms`."""
        found: dict[str, Mapping[str, Any]] = {}
        number = first_pair
        while len(found) < count:
            rule = pair(number, FEATURES)["rule"]
            rule = _hastened(rule) if hastened else rule
            number += 1
            if len(found) % 10 == 9:  # one in ten asks for the one before it
                rule = {"all": [{"any": [{"segment": f"trial-{len(found) - 1}"}, rule]}]}
            try:
                parse_rule(rule, regex=compile_regex)
            except RuleInvalid:
                continue
            found[f"trial-{len(found)}"] = rule
        return cls(found)


@dataclass(slots=True)
class Verdict:
    """What the comparison found."""

    compared: int = 0
    members: int = 0
    left_out: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        what = f"{self.compared} memberships compared, of which {self.members} hold"
        return f"{what}; {self.left_out} left out, {len(self.wrong)} wrong"


class Trial:
    """Drives one platform."""

    def __init__(self, platform: Addresses, rules: Rules, *, hastened: bool = False) -> None:
        self._platform = platform
        self._rules = rules
        self._hastened = hastened
        self._start = end_of(platform.kafka_bootstrap, topics.EVENTS)
        self.people: list[str] = []
        self.sent_per_s = 0.0
        """Events, over the last `send`."""
        self._remembered: Mapping[str, World] | None = None

    async def save_rules(self) -> None:
        """Save every rule as a live segment, and wait until all are in effect."""
        async with self._segments_api() as api:
            for key in self._rules.by_key:
                await self._create(api, key)
        await asyncio.sleep(IN_EFFECT_S)

    async def create(self, key: str, patience_s: float = 0.0) -> None:
        """Save one of the rules as a live segment, while the API is away again and again."""
        async for attempt in _patiently(patience_s):
            with attempt:
                async with self._segments_api() as api:
                    await self._create(api, key)

    async def backfilled(self, within_s: float = 60) -> None:
        """Wait until every segment has its history."""
        until = time.monotonic() + within_s
        async with self._segments_api() as api:
            for key in self._rules.by_key:
                while (found := (await api.get(f"/v1/segments/{key}/backfill")).json()).get("state") != "done":
                    assert time.monotonic() < until, f"{key}: {found}"
                    await asyncio.sleep(0.5)

    def rule(self, key: str) -> Mapping[str, Any]:
        """A segment's rule."""
        return self._rules.by_key[key]

    async def edit(self, key: str, rule: Mapping[str, Any]) -> None:
        """Give a segment another rule."""
        async with self._segments_api() as api:
            answer = await api.put(f"/v1/segments/{key}", json={"rule": rule, "status": "live"})
            assert answer.status_code == 200, answer.text
        await asyncio.sleep(IN_EFFECT_S)
        self._rules = Rules({**self._rules.by_key, key: rule})

    async def touch(self) -> None:
        """One more event of everybody, in which no rule takes an interest: an idle profile keeps to the old rules."""
        async with self._ingest() as ingest:
            for start in range(0, len(self.people), BATCH):
                calls = [
                    {"type": "track", "userId": person, "event": "Touched", "messageId": f"{person}:{time.time_ns()}"}
                    for person in self.people[start : start + BATCH]
                ]
                await _until_accepted(ingest, calls)

    async def remove_rules(self) -> None:
        """Delete the segments, those that refer to others first."""
        async with self._segments_api() as api:
            for key in reversed(list(self._rules.by_key)):
                answer = await api.delete(f"/v1/segments/{key}")
                assert answer.status_code == 204, answer.text

    async def _create(self, api: httpx.AsyncClient, key: str) -> None:
        body = {"key": key, "rule": self._rules.by_key[key], "status": "live"}
        answer = await api.post("/v1/segments", json=body)
        if answer.status_code == 409:  # it was saved, and the answer lost
            return
        if answer.status_code >= 500:
            raise Refused(answer.text)
        assert answer.status_code == 201, answer.text

    async def send(self, people: int, first_pair: int, events_per_s: float, *, twice: float = 0.0) -> int:
        """Send the histories of so many people; every event until it is accepted. Gives how many were.

        Of the batches a share, `twice`, is sent once more later on.
        """
        numbers = range(first_pair, first_pair + people)
        streams = [list(_calls(f"person-{number}", number, hastened=self._hastened)) for number in numbers]
        self.people += [f"person-{first_pair + number}" for number in range(people)]
        # A person's events stay in order; people are interleaved.
        calls = [call for place in range(max(map(len, streams))) for stream in streams for call in stream[place:][:1]]
        chance, again = random.Random(first_pair), list[list[dict[str, Any]]]()  # noqa: S311  the same each time
        began = time.monotonic()
        under_way = asyncio.Semaphore(UNDER_WAY)
        async with self._ingest() as ingest, asyncio.TaskGroup() as sending:

            async def accept(batch: list[dict[str, Any]]) -> None:
                try:
                    await _until_accepted(ingest, batch)
                finally:
                    under_way.release()

            async def begin(batch: list[dict[str, Any]]) -> None:
                await under_way.acquire()
                sending.create_task(accept(batch))

            for start in range(0, len(calls), BATCH):
                await asyncio.sleep(max(0.0, began + start / events_per_s - time.monotonic()))
                now_ms = time.time_ns() // 1_000_000
                batch = [call(now_ms) for call in calls[start : start + BATCH]]
                await begin(batch)
                if chance.random() < twice:
                    again.append(batch)
                if again and chance.random() < twice:
                    await begin(again.pop(chance.randrange(len(again))))
            for batch in again:
                await begin(batch)
        self.sent_per_s = len(calls) / (time.monotonic() - began)
        return len(calls)

    async def send_again(self, times: int) -> int:
        """Send every accepted event again, so many times, as it stands in the topic. Gives how many were."""
        kept = list(self._accepted())
        async with open_event_log(self._platform.kafka_bootstrap, "trial", timeout_s=30.0) as log:
            for _ in range(times):
                await log.append(kept)
        return times * len(kept)

    def remember(self) -> None:
        """What has been accepted by now is all there will be, also when Kafka has lost it."""
        self._remembered = self._worlds()

    async def stored(self) -> Mapping[str, tuple[int, frozenset[str]]]:
        """Version and memberships of each person, as the stores have them."""
        versions, found = await self._versions(), await self._memberships()
        return {person: (versions.get(person, 0), found[person]) for person in self.people}

    async def settle(self, within_s: float = 300) -> None:
        """Wait until every consumer has read all there is, and for a while longer."""
        until, quiet_since = time.monotonic() + within_s, None
        while quiet_since is None or time.monotonic() - quiet_since < SETTLED_S:
            assert time.monotonic() < until, f"consumers are behind: {lag.by_group(self._platform.kafka_bootstrap)}"
            quiet = await asyncio.to_thread(lag.total, self._platform.kafka_bootstrap) == 0
            quiet_since = (quiet_since or time.monotonic()) if quiet else None
            await asyncio.sleep(1)

    async def verdict(self) -> Verdict:
        """Compare every membership of every person with the oracle's."""
        worlds = self._worlds() if self._remembered is None else self._remembered
        asked_ms = time.time_ns() // 1_000_000
        found = await self._memberships()
        answered_ms = time.time_ns() // 1_000_000
        work = [
            (self._rules.by_key, worlds[person], found[person], asked_ms, answered_ms)
            for person in self.people
            if person in worlds
        ]
        verdict = Verdict()
        with ProcessPoolExecutor() as pool:
            for one in pool.map(_judge, work, chunksize=8):
                verdict.compared += one.compared
                verdict.members += one.members
                verdict.left_out += one.left_out
                verdict.wrong += one.wrong
        unknown = [person for person in self.people if person not in worlds and found[person]]
        verdict.wrong += [f"{person} has memberships without an event" for person in unknown]
        return verdict

    def moved_by_time(self, people: int) -> int:
        """Memberships of the first so many people that, by the oracle, have changed since the last event of each."""
        worlds, now_ms = self._worlds(), time.time_ns() // 1_000_000
        return sum(
            member(rule, world, max(event.received_ms for event in world.events)) != member(rule, world, now_ms)
            for world in (worlds[person] for person in self.people[:people] if person in worlds)
            for rule in self._rules.by_key.values()
        )

    def versions_that_went_back(self) -> list[str]:
        """People whose stored version is less than the greatest that was told of them; time may have raised it."""
        told: dict[str, int] = defaultdict(int)
        bootstrap = self._platform.kafka_bootstrap
        for record in read_between(bootstrap, topics.PROFILES, {}, end_of(bootstrap, topics.PROFILES)):
            profile = topics.decode_profile(record.value or b"")
            told[profile.profile_id] = max(told[profile.profile_id], profile.version)
        stored = asyncio.run(self._versions())
        return [person for person in self.people if person in told and stored.get(person, 0) < told[person]]

    async def _versions(self) -> Mapping[str, int]:
        async with open_pool(self._platform.postgres_dsn) as pool:
            found = await PostgresProfileStore(pool).get_many("demo", self.people)
        return {profile_id: profile.version for profile_id, profile in found.items()}

    def _accepted(self) -> Iterator[Any]:
        bootstrap = self._platform.kafka_bootstrap
        return read_between(bootstrap, topics.EVENTS, self._start, end_of(bootstrap, topics.EVENTS))

    def _worlds(self) -> Mapping[str, World]:
        events: dict[str, list[Event]] = defaultdict(list)
        for record in self._accepted():
            accepted = topics.decode_event(record.value or b"")
            events[accepted.profile_id].append(
                Event(
                    time_ms=accepted.time_ms, received_ms=accepted.received_ms, message_id=accepted.message_id,
                    type=accepted.type, name=accepted.name, source=accepted.source, user_id=accepted.profile_id,
                    properties=accepted.properties, context=accepted.context, traits=accepted.traits,
                )
            )  # fmt: skip
        segments = dict(self._rules.by_key)
        return {person: World(person, tuple(each), segments) for person, each in events.items()}

    async def _memberships(self) -> Mapping[str, frozenset[str]]:
        async with self._segments_api() as api:
            limit = asyncio.Semaphore(8)

            async def of(person: str) -> frozenset[str]:
                async with limit:
                    answer = await _answered(api, f"/v1/profiles/{quote(person)}/segments")
                return frozenset(each["key"] for each in answer.json()["segments"])

            return dict(zip(self.people, await asyncio.gather(*map(of, self.people)), strict=True))

    def _ingest(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._platform.ingest_url, auth=(self._platform.write_key, ""), timeout=20, trust_env=False
        )

    def _segments_api(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self._platform.api_token}"}
        return httpx.AsyncClient(base_url=self._platform.segments_url, headers=headers, timeout=20, trust_env=False)


Call = Callable[[int], dict[str, Any]]
"""An SDK's call, for the instant at which it is sent."""


def hastened_ms(span_ms: int) -> int:
    """A span of up to two years as one of up to `HASTENED_S`; of two the longer stays the longer, or they are equal."""
    share = math.log1p(abs(span_ms) / 1000) / math.log1p(730 * 86_400)
    return int(math.copysign(share * HASTENED_S * 1000, span_ms))


def _hastened(node: Any) -> Any:
    """The rule with its durations hastened."""
    if isinstance(node, dict):
        return {key: _hastened(each) for key, each in node.items()}
    if isinstance(node, list):
        return [_hastened(each) for each in node]
    if isinstance(node, str) and _DURATION.fullmatch(node):
        return f"{max(1, round(hastened_ms(duration_ms(node)) / 1000))}s"
    return node


def _calls(person: str, number: int, *, hastened: bool) -> Iterator[Call]:
    generated = pair(number, FEATURES)
    for event in generated["events"]:
        age_ms = generated["now_ms"] - event["time_ms"]
        yield _call(person, event, hastened_ms(age_ms) if hastened else age_ms)


def _call(person: str, event: Mapping[str, Any], age_ms: int) -> Call:
    """The generated event as a call; its distance from "now" is kept."""
    kind = event.get("type", "track")
    body: dict[str, Any] = {
        "type": kind,
        "userId": person,
        "messageId": f"{person}:{event['message_id']}",
        "context": event.get("context", {}),
    }
    if kind == "identify":
        body["traits"] = event.get("traits", {})
    else:
        body["event" if kind == "track" else "name"] = event.get("name", "")
        body["properties"] = event.get("properties", {})

    def at(now_ms: int) -> dict[str, Any]:
        moment = datetime.fromtimestamp((now_ms - age_ms) / 1000, UTC)
        return {**body, "timestamp": moment.isoformat(timespec="milliseconds")}

    return at


async def _answered(api: httpx.AsyncClient, path: str) -> httpx.Response:
    """A read; again where the service is too busy for it, as it asks to."""
    async for attempt in _patiently(ACCEPTED_FOR_S):
        with attempt:
            answer = await api.get(path)
            if answer.status_code == 503:
                raise Refused(answer.text)
            assert answer.status_code == 200, answer.text
            return answer
    raise AssertionError("tenacity raises")


def _patiently(within_s: float) -> AsyncRetrying:
    """Attempts while a part is away."""
    return AsyncRetrying(
        retry=retry_if_exception_type((httpx.TransportError, Refused)),
        wait=wait_random_exponential(max=2),
        stop=stop_after_delay(within_s),
        reraise=True,
    )


async def _until_accepted(ingest: httpx.AsyncClient, calls: Sequence[dict[str, Any]]) -> None:
    """As the SDKs do it: the same batch again, with the same ids, until it is answered with 200."""
    body = json.dumps({"batch": calls})
    async for attempt in _patiently(ACCEPTED_FOR_S):
        with attempt:
            answer = await ingest.post("/v1/batch", content=body, headers={"Content-Type": "application/json"})
            if answer.status_code >= 500 or answer.status_code == 429:
                raise Refused(answer.text)
            assert answer.status_code == 200, answer.text


def _judge(
    work: tuple[Mapping[str, Mapping[str, Any]], World, frozenset[str], int, int],
) -> Verdict:
    """One person: each membership at the moment it was asked for."""
    rules, world, found, asked_ms, answered_ms = work
    verdict = Verdict()
    for key, rule in rules.items():
        wanted = member(rule, world, asked_ms)
        verdict.members += wanted
        if wanted == (key in found):
            verdict.compared += 1
        elif candidate_times(rule, world, asked_ms - MARGIN_MS, answered_ms + MARGIN_MS):
            verdict.left_out += 1
        else:
            verdict.compared += 1
            verdict.wrong.append(f"{world.profile_id} in {key}: the oracle says {wanted}")
    return verdict


async def while_sending(sending: Awaitable[int], harm: Callable[[], object]) -> int:
    """Do harm in a thread of its own while events are sent; gives how many were accepted."""
    doing = asyncio.create_task(asyncio.to_thread(harm))
    sent = await sending
    await doing
    return sent
