"""From the topic `profiles` to what the API answers, on the running platform."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from audience.adapters.kafka.producer import KafkaEventLog, open_event_log
from audience.adapters.kafka.reader import end_of, read_between
from audience.ports.event_log import LogRecord
from audience.wire.topics import EVENTS_BAD, PROFILES, Membership, ProfileRecord, decode_bad_event, encode, key_of

pytestmark = pytest.mark.platform

WORKSPACE = "demo"


def record(profile_id: str, version: int, *segments: str, **traits: Any) -> LogRecord:
    now_ms = time.time_ns() // 1_000_000
    made = ProfileRecord(
        workspace=WORKSPACE,
        profile_id=profile_id,
        version=version,
        created_ms=now_ms,
        updated_ms=now_ms,
        traits=traits,
        segments=[Membership(segment, now_ms) for segment in segments],
    )
    return LogRecord(PROFILES, key_of(WORKSPACE, profile_id), encode(made))


async def until(question: Callable[[], Awaitable[Any]], expected: Any, within_s: float = 20) -> float:
    """Ask until the answer is the expected one; gives the seconds that it took."""
    started_s = time.monotonic()
    while (found := await question()) != expected:
        assert time.monotonic() - started_s < within_s, f"{found!r} is not {expected!r}"
        await asyncio.sleep(0.002)
    return time.monotonic() - started_s


class Reader:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def segments(self, profile_id: str) -> list[str]:
        answer = await self.client.get(f"/v1/profiles/{profile_id}/segments")
        return [each["key"] for each in answer.json()["segments"]]

    async def size(self, segment: str) -> int:
        size: int = (await self.client.get(f"/v1/segments/{segment}/size")).json()["size"]
        return size

    async def version(self, profile_id: str) -> int | None:
        version: int | None = (await self.client.get(f"/v1/profiles/{profile_id}")).json().get("version")
        return version


@pytest.fixture
async def reader(platform: Any) -> AsyncIterator[Reader]:
    headers = {"Authorization": f"Bearer {platform.api_token}"}
    async with httpx.AsyncClient(base_url=platform.segments_url, headers=headers, timeout=10) as client:
        yield Reader(client)


@pytest.fixture
async def log(platform: Any) -> AsyncIterator[KafkaEventLog]:
    async with open_event_log(platform.kafka_bootstrap, "test", linger_ms=0) as opened:
        yield opened


@pytest.fixture
async def segment(reader: Reader) -> AsyncIterator[str]:
    """A live segment that the job puts nobody into."""
    key = f"test-{secrets.token_hex(6)}"
    rule = {"event": f"never {key}"}
    answer = await reader.client.post("/v1/segments", json={"key": key, "rule": rule, "status": "live"})
    assert answer.status_code == 201, answer.text
    yield key
    await reader.client.delete(f"/v1/segments/{key}")


@pytest.fixture
def person() -> str:
    return f"person-{secrets.token_hex(8)}"


async def test_a_profile_is_readable_moments_later(
    reader: Reader, log: KafkaEventLog, segment: str, person: str
) -> None:
    await log.append([record(person, 1, segment, plan="pro")])
    await until(lambda: reader.segments(person), [segment])
    await until(lambda: reader.size(segment), 1)
    delays = []
    for version in range(2, 22):
        await log.append([record(person, version, *([segment] if version % 2 else []))])
        delays.append(await until(lambda: reader.segments(person), [segment] if version % 2 else []))
    assert sorted(delays)[10] < 0.2
    await until(lambda: reader.size(segment), 1)


async def test_an_older_version_is_passed_over(reader: Reader, log: KafkaEventLog, segment: str, person: str) -> None:
    await log.append([record(person, 9, segment)])
    await until(lambda: reader.version(person), 9)
    await log.append([record(person, 8), record(f"{person}-mark", 1, segment)])
    await until(lambda: reader.version(f"{person}-mark"), 1)
    assert await reader.version(person) == 9
    assert await reader.segments(person) == [segment]
    await until(lambda: reader.size(segment), 2)


async def test_what_cannot_be_decoded_is_set_aside_and_stops_nothing(
    platform: Any, reader: Reader, log: KafkaEventLog, segment: str, person: str
) -> None:
    start = await asyncio.to_thread(end_of, platform.kafka_bootstrap, EVENTS_BAD)
    key = key_of(WORKSPACE, person)
    too_long = record("x" + secrets.token_hex(20_000), 1)
    await log.append(
        [
            LogRecord(PROFILES, key, b"\xff no profile"),
            too_long,
            LogRecord(PROFILES, key, None),
            record(person, 3, segment),
        ]
    )
    await until(lambda: reader.version(person), 3)
    await until(lambda: reader.size(segment), 1)

    async def codes() -> list[str]:
        end = await asyncio.to_thread(end_of, platform.kafka_bootstrap, EVENTS_BAD)
        found = await asyncio.to_thread(lambda: list(read_between(platform.kafka_bootstrap, EVENTS_BAD, start, end)))
        told = [decode_bad_event(each.value or b"") for each in found]
        return sorted(each.code for each in told if each.source == "projection")

    await until(codes, ["undecodable_profile", "unstorable_profile"])


async def test_a_thousand_profiles_are_counted_right(reader: Reader, log: KafkaEventLog, segment: str) -> None:
    run = secrets.token_hex(4)
    await log.append([record(f"{run}-{number}", 1, segment) for number in range(1_000)])
    await until(lambda: reader.size(segment), 1_000)
    await log.append([record(f"{run}-{number}", 2) for number in range(0, 1_000, 2)])
    await until(lambda: reader.size(segment), 500)
