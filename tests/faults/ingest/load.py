"""A steady load of events, as careful SDKs send it, and the account of what became of them.

Each worker has users of its own and sends their events in order: the next batch only after the last was answered with
200, the same batch again with the same `messageId`s after anything else. So the topic must hold every event that was
answered, and each user's in the order of sending.
"""

import asyncio
import contextlib
import json
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import httpx

from audience.adapters.kafka.reader import end_of, read_between
from audience.wire.topics import EVENTS, decode_event
from tests.integration.local.running import LocalPlatform

WORKERS = 20
BATCH = 5
PATIENCE_S = 15.0


@dataclass(slots=True)
class Account:
    """What was sent and answered, and what the topic holds of it."""

    acknowledged: int
    answers: Mapping[str, int]
    missing: int
    unanswered_but_there: int
    doubled: int
    """Sent once, and there twice."""
    came_again: int
    """There twice, since their client sent them again: the first time nobody answered."""
    out_of_order: int
    slowest_s: float

    def __str__(self) -> str:
        return (
            f"{self.acknowledged} events answered with 200; {self.missing} missing, {self.doubled} twice, "
            f"{self.came_again} twice that were sent twice, {self.out_of_order} out of order, "
            f"{self.unanswered_but_there} there without an answer; "
            f"slowest answer {self.slowest_s:.1f} s; answers {dict(self.answers)}"
        )


@dataclass(slots=True)
class Load:
    """Use `running`. `events_per_s` over all workers; a worker that was held up does not catch up."""

    platform: LocalPlatform
    events_per_s: float
    run: str = field(default_factory=lambda: f"load-{uuid.uuid4().hex[:12]}")
    sent: dict[str, int] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    """The ids of events that went out more than once."""
    answers: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    stopping: bool = False
    start: Mapping[int, int] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        """The load, for as long as the block lasts; leaving it waits until every batch that was begun is answered."""
        self.start = await asyncio.to_thread(end_of, self.platform.kafka_bootstrap, EVENTS)
        workers = [asyncio.create_task(self._worker(f"{self.run}-{number}")) for number in range(WORKERS)]
        try:
            yield self
        finally:
            self.stopping = True
            await asyncio.gather(*workers)

    async def _worker(self, user: str) -> None:
        number, every_s = 0, WORKERS * BATCH / self.events_per_s
        async with httpx.AsyncClient(base_url=self.platform.ingest_url, timeout=PATIENCE_S) as http:
            while not self.stopping:
                due_s = time.monotonic() + every_s
                body = json.dumps({"batch": [_event(user, each) for each in range(number, number + BATCH)]})
                while not await self._answered(http, body):
                    self.again.update(f"{user}-{each}" for each in range(number, number + BATCH))
                    await asyncio.sleep(0.1)
                number += BATCH
                self.sent[user] = number
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def _answered(self, http: httpx.AsyncClient, body: str) -> bool:
        began_s = time.monotonic()
        try:
            answer = await http.post("/v1/batch", content=body, auth=(self.platform.write_key, ""))
        except httpx.TransportError as error:
            self.answers[type(error).__name__] += 1
            return False
        self.answers[str(answer.status_code)] += 1
        if answer.status_code == 200:
            self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
            return True
        assert answer.status_code == 503, answer.text
        assert 0 < int(answer.headers["retry-after"]) <= 300
        return False

    def account(self) -> Account:
        """Read the topic. Call it when nothing is under way any more."""
        end = end_of(self.platform.kafka_bootstrap, EVENTS)
        seen: Counter[str] = Counter()
        newest: dict[str, int] = {}
        out_of_order = 0
        for record in read_between(self.platform.kafka_bootstrap, EVENTS, self.start, end):
            event = decode_event(record.value or b"")
            if not event.profile_id.startswith(self.run):
                continue
            seen[event.message_id] += 1
            number = int(event.properties["number"])
            if seen[event.message_id] == 1:
                out_of_order += number < newest.get(event.profile_id, -1)
                newest[event.profile_id] = max(number, newest.get(event.profile_id, -1))
        wanted = {f"{user}-{number}" for user, count in self.sent.items() for number in range(count)}
        return Account(
            acknowledged=len(wanted),
            answers=self.answers,
            missing=len(wanted - seen.keys()),
            unanswered_but_there=len(seen.keys() - wanted),
            doubled=sum(count > 1 for event, count in seen.items() if event not in self.again),
            came_again=sum(count > 1 for event, count in seen.items() if event in self.again),
            out_of_order=out_of_order,
            slowest_s=self.slowest_s,
        )


def _event(user: str, number: int) -> dict[str, object]:
    return {
        "type": "track",
        "event": "Order Completed",
        "userId": user,
        "messageId": f"{user}-{number}",
        "properties": {"number": number, "total": 20.5},
    }
