"""segment-api on the running platform, and members without events: records of `profiles`, as the job writes them."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from audience.adapters.kafka.producer import KafkaEventLog, open_event_log
from audience.ports.event_log import LogRecord
from audience.wire.topics import PROFILES, Membership, ProfileRecord, encode, key_of

WORKSPACE = "demo"
NEVER = {"event": "what nobody ever does"}


@dataclass
class World:
    """Segments of this test, and who is in them. Whatever it makes is gone afterwards."""

    api: httpx.AsyncClient
    log: KafkaEventLog
    name: str
    segments: list[str] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)

    async def segment(self, rule: Any = None, **changes: Any) -> str:
        """A live segment that the job puts nobody into."""
        key = f"{self.name}-{len(self.segments)}"
        body = {"key": key, "rule": rule or NEVER, "status": "live", **changes}
        answer = await self.api.post("/v1/segments", json=body)
        assert answer.status_code == 201, answer.text
        self.segments.append(key)
        return key

    def person(self, name: object) -> str:
        return f"{self.name}-{name}"

    async def put(self, people: Mapping[str, Collection[str]], **traits: Any) -> None:
        """Put people into segments, and out of all others."""
        now_ms = time.time_ns() // 1_000_000
        records = []
        for person, segments in people.items():
            # Above those of an earlier run on a platform that stays.
            self.versions[person] = self.versions.get(person, time.time_ns() // 1_000) + 1
            profile = ProfileRecord(
                workspace=WORKSPACE,
                profile_id=person,
                version=self.versions[person],
                created_ms=now_ms,
                updated_ms=now_ms,
                traits=traits,
                segments=[Membership(key, now_ms) for key in segments],
            )
            records.append(LogRecord(PROFILES, key_of(WORKSPACE, person), encode(profile)))
        await self.log.append(records)

    async def size(self, key: str) -> int:
        size: int = (await self.get(f"/v1/segments/{key}/size"))["size"]
        return size

    async def members(self, key: str, count: int, *, prefix: str = "p") -> list[str]:
        """`count` members of a segment, there when this returns."""
        people = [self.person(f"{prefix}{number:06d}") for number in range(count)]
        await self.put({person: [key] for person in people})
        await until(lambda: self.size(key), count)
        return people

    async def get(self, path: str, **parameters: Any) -> Any:
        answer = await self.api.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()


async def until(question: Callable[[], Awaitable[Any]], expected: Any, within_s: float = 20) -> None:
    """Ask until the answer is the expected one."""
    until_s = time.monotonic() + within_s
    while (found := await question()) != expected:
        assert time.monotonic() < until_s, f"{found!r} is not {expected!r}"
        await asyncio.sleep(0.02)


@pytest.fixture
async def api(platform: Any) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {platform.api_token}"}
    async with httpx.AsyncClient(base_url=platform.segments_url, headers=headers, timeout=20) as client:
        yield client


@pytest.fixture
async def world(platform: Any, api: httpx.AsyncClient) -> AsyncIterator[World]:
    async with open_event_log(platform.kafka_bootstrap, "test", linger_ms=0) as log:
        made = World(api, log, f"test-{secrets.token_hex(5)}")
        yield made
        for key in reversed(made.segments):
            await api.delete(f"/v1/segments/{key}")
