"""segment-api on the running platform: from a saved segment and a sent event to a membership and its reason."""

import asyncio
import base64
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from audience.adapters.kafka.reader import end_of, read_between
from audience.wire.topics import SEGMENTS, decode_segment

pytestmark = pytest.mark.platform

EVALUATED_WITHIN_S = 2


@pytest.fixture
async def ingest(platform: Any) -> AsyncIterator[httpx.AsyncClient]:
    credentials = base64.b64encode(f"{platform.write_key}:".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"}
    async with httpx.AsyncClient(base_url=platform.ingest_url, headers=headers, timeout=20) as client:
        yield client


@pytest.fixture
async def key(api: httpx.AsyncClient) -> AsyncIterator[str]:
    made = f"test-{secrets.token_hex(6)}"
    yield made
    await api.delete(f"/v1/segments/{made}")


async def create(api: httpx.AsyncClient, key: str, **changes: Any) -> httpx.Response:
    rule = {"event": f"Ordered {key}", "is": {"gte": 2}}
    answer = await api.post("/v1/segments", json={"key": key, "rule": rule, "status": "live", **changes})
    assert answer.status_code == 201, answer.text
    return answer


async def live(api: httpx.AsyncClient, key: str) -> httpx.Response:
    """A segment that is evaluated when this returns: events from before count only with a backfill."""
    answer = await create(api, key)
    await asyncio.sleep(EVALUATED_WITHIN_S)
    return answer


async def member(api: httpx.AsyncClient, profile_id: str, key: str, *, expected: bool, within_s: float = 20) -> None:
    until_s = time.monotonic() + within_s
    path = f"/v1/profiles/{quote(profile_id, safe='')}/segments"
    while (key in [each["key"] for each in (await api.get(path)).json()["segments"]]) is not expected:
        assert time.monotonic() < until_s, f"{profile_id} {'never entered' if expected else 'never left'} {key}"
        await asyncio.sleep(0.01)


async def order(ingest: httpx.AsyncClient, key: str, profile_id: str) -> str:
    message_id = secrets.token_hex(8)
    event = {"userId": profile_id, "event": f"Ordered {key}", "messageId": message_id, "properties": {"total": 5}}
    assert (await ingest.post("/v1/track", json=event)).status_code == 200
    return message_id


async def test_an_event_becomes_a_membership_with_its_reason(
    api: httpx.AsyncClient, ingest: httpx.AsyncClient, key: str
) -> None:
    await live(api, key)
    person = f"ünï/{secrets.token_hex(6)}%2F"
    first = await order(ingest, key, person)
    second = await order(ingest, key, person)
    await member(api, person, key, expected=True)

    async with asyncio.timeout(20):
        while (await api.get(f"/v1/segments/{key}/size")).json()["size"] != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    told = (await api.get(f"/v1/profiles/{quote(person, safe='')}/explain/{key}")).json()
    assert (told["profile_id"], told["segment"], told["version"], told["member"]) == (person, key, 1, True)
    assert (told["tree"]["truth"], told["tree"]["value"]) == (True, 2)
    assert [each["message_id"] for each in told["tree"]["events"]] == [second, first]

    profile = (await api.get(f"/v1/profiles/{quote(person, safe='')}")).json()
    assert profile["segments"] == [key]
    assert (await api.get(f"/v1/profiles/nobody-{key}/explain/{key}")).status_code == 404


async def test_a_new_segment_can_be_explained_at_once(
    api: httpx.AsyncClient, ingest: httpx.AsyncClient, key: str
) -> None:
    await live(api, f"{key}-other")
    await order(ingest, f"{key}-other", key)
    await order(ingest, f"{key}-other", key)
    await member(api, key, f"{key}-other", expected=True)
    await create(api, key)
    told = await api.get(f"/v1/profiles/{key}/explain/{key}")
    assert told.status_code == 200, told.text
    assert (told.json()["member"], told.json()["tree"]["value"]) == (False, 0)
    await api.delete(f"/v1/segments/{key}-other")


async def test_a_deleted_segment_is_gone_at_once(api: httpx.AsyncClient, ingest: httpx.AsyncClient, key: str) -> None:
    await live(api, key)
    await order(ingest, key, key)
    await order(ingest, key, key)
    await member(api, key, key, expected=True)
    assert (await api.delete(f"/v1/segments/{key}")).status_code == 204
    assert (await api.get(f"/v1/segments/{key}")).status_code == 404
    await member(api, key, key, expected=False, within_s=2)
    assert (await api.get(f"/v1/profiles/{key}")).json()["segments"] == []


async def test_a_paused_segment_keeps_its_members(api: httpx.AsyncClient, ingest: httpx.AsyncClient, key: str) -> None:
    saved = (await live(api, key)).json()
    await order(ingest, key, key)
    await order(ingest, key, key)
    await member(api, key, key, expected=True)
    paused = await api.put(f"/v1/segments/{key}", json={"rule": saved["rule"], "status": "paused"})
    assert (paused.status_code, paused.json()["version"]) == (200, 1)
    await member(api, key, key, expected=True)


async def test_the_jobs_are_told_within_a_tenth_of_a_second(platform: Any, api: httpx.AsyncClient, key: str) -> None:
    start = await asyncio.to_thread(end_of, platform.kafka_bootstrap, SEGMENTS)
    answered = (await create(api, key)).json()
    await asyncio.sleep(0.1)
    end = await asyncio.to_thread(end_of, platform.kafka_bootstrap, SEGMENTS)
    found = await asyncio.to_thread(lambda: list(read_between(platform.kafka_bootstrap, SEGMENTS, start, end)))
    told = [decode_segment(each.value) for each in found if each.value and each.key == f"demo:{key}"]
    assert [(each.version, each.status) for each in told] == [(answered["version"], "live")]


async def test_many_authors_at_once(api: httpx.AsyncClient, key: str) -> None:
    keys = [f"{key}-{number}" for number in range(12)]
    answers = await asyncio.gather(*(create(api, each, status="draft") for each in keys))
    assert len({each.headers["ETag"] for each in answers}) == len(keys)
    etag = answers[0].headers["ETag"]
    body = {"rule": {"event": "x"}}
    races = await asyncio.gather(
        *(api.put(f"/v1/segments/{keys[0]}", json=body, headers={"If-Match": etag}) for _ in range(8))
    )
    assert sorted(each.status_code for each in races) == [200] + [412] * 7
    gone = await asyncio.gather(*(api.delete(f"/v1/segments/{each}") for each in keys))
    assert {each.status_code for each in gone} == {204}


async def test_health_and_documents(platform: Any) -> None:
    async with httpx.AsyncClient(base_url=platform.segments_url) as anybody:
        ready = (await anybody.get("/readyz")).json()
        assert {name: each["status"] for name, each in ready["dependencies"].items()} == {
            "kafka": "ok", "catalog": "ok", "profile-store": "ok", "membership-index": "ok",
        }  # fmt: skip
        assert (await anybody.get("/healthz")).status_code == 200
        assert "segments_request_seconds" in (await anybody.get("/metrics")).text
        assert "/v1/profiles/{profile_id}/explain/{segment_key}" in (await anybody.get("/openapi.json")).json()["paths"]
        assert (await anybody.get("/v1/segments")).status_code == 401
