"""Where the shop's events go: a file, the topic of accepted events, or ingest-api.

A file takes every event, a line each, as an SDK sends it. A topic takes what ingest-api would have accepted, as it
would have written it. Over HTTP events leave at their own times in batches, whatever the answers take; a refusal is
counted, never sent again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from itertools import islice
from typing import IO, Any, Final

import httpx
import msgspec

from audience.adapters.kafka.producer import open_event_log
from audience.events.normalise import Envelope, NotValid, normalise, time_of
from audience.ports.event_log import LogRecord
from audience.wire.topics import EVENTS, EventRecord, key_of
from load_tests.shop.generator import Sent

AT_ONCE: Final = 1_000
UNDER_WAY: Final = 20
Progress = Callable[[int], None]


class SentEvent(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """A body as ingest-api reads it: an `audience.events.normalise.SentEvent`."""

    type: str | None = None
    event: str | None = None
    name: str | None = None
    message_id: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    timestamp: str | None = None
    original_timestamp: str | None = None
    sent_at: str | None = None
    properties: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    integrations: dict[str, Any] | None = None


def record_of(body: dict[str, Any], workspace: str, source: str, received_ms: int) -> EventRecord:
    """What ingest-api writes for it. Raises NotValid, and msgspec.ValidationError for a value of a wrong type."""
    sent = msgspec.convert(body, SentEvent)
    return normalise(sent, Envelope(workspace, source, received_ms, lambda: ""), EventRecord)


def to_file(events: Iterable[Sent], file: IO[bytes], start_ms: int, progress: Progress) -> Counter[str]:
    """JSON lines. Gives how many of each kind."""
    counts: Counter[str] = Counter()
    for sent in events:
        file.write(msgspec.json.encode(sent.at(start_ms)) + b"\n")
        counts[sent.kind] += 1
        progress(1)
    return counts


def records(
    events: Iterable[Sent], start_ms: int, workspace: str, source: str, counts: Counter[str]
) -> Iterator[tuple[str, bytes]]:
    """Keys and values for the topic of accepted events; what is not valid is only counted."""
    for sent in events:
        try:
            record = record_of(sent.at(start_ms), workspace, source, start_ms + sent.due_ms)
        except (NotValid, msgspec.ValidationError):
            counts["left out"] += 1
            continue
        counts[sent.kind] += 1
        yield key_of(workspace, record.profile_id), msgspec.json.encode(record)


async def to_topic(
    events: Iterable[Sent], bootstrap: str, start_ms: int, workspace: str, source: str, progress: Progress
) -> Counter[str]:
    """As fast as Kafka takes them. Gives how many of each kind. Raises EventLogUnavailable."""
    counts: Counter[str] = Counter()
    found = records(events, start_ms, workspace, source, counts)
    under_way: set[asyncio.Task[None]] = set()
    async with open_event_log(bootstrap, "shop", timeout_s=30.0) as log:
        while piece := [LogRecord(EVENTS, key, value) for key, value in islice(found, AT_ONCE)]:
            under_way.add(asyncio.create_task(log.append(piece)))
            if len(under_way) >= UNDER_WAY:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            await asyncio.sleep(0)
            progress(len(piece))
        await asyncio.gather(*under_way)
    return counts


async def to_http(
    events: Iterable[Sent], address: str, write_key: str, batch: int, start_ms: int | None, progress: Progress
) -> Counter[str]:
    """Batches at their own times. Gives how many events of each kind, and how many requests had each status.

    `start_ms` None: events carry the time of sending. Else they keep the shop's own times, without the time of sending
    that ingest-api would correct them by. Raises httpx.HTTPError.
    """
    counts: Counter[str] = Counter()
    found = iter(events)
    began = time.monotonic()
    first_ms = time.time_ns() // 1_000_000 if start_ms is None else start_ms
    under_way: set[asyncio.Task[None]] = set()
    async with AsyncExitStack() as stack:
        limits = httpx.Limits(max_connections=UNDER_WAY)
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=address, auth=(write_key, ""), timeout=60, trust_env=False, limits=limits)
        )

        async def post(piece: list[Sent]) -> None:
            bodies = [sent.at(first_ms) for sent in piece]
            if start_ms is not None:
                for each in bodies:
                    del each["sentAt"]
            body = msgspec.json.encode({"batch": bodies})
            answer = await client.post("/v1/batch", content=body)
            counts[str(answer.status_code)] += 1

        while piece := list(islice(found, batch)):
            await asyncio.sleep(max(0.0, began + piece[-1].due_ms / 1000 - time.monotonic()))
            counts.update(sent.kind for sent in piece)
            under_way.add(asyncio.create_task(post(piece)))
            done = {task for task in under_way if task.done()}
            under_way -= done
            for task in done:
                task.result()
            progress(len(piece))
        await asyncio.gather(*under_way)
    return counts


def time_ms_of(text: str) -> int:
    """A start time on the command line. Raises ValueError."""
    try:
        return time_of(text, "/start")
    except NotValid as error:
        raise ValueError(error.message) from error
