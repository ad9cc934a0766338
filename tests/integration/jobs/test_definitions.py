"""Lists and computed traits over the whole path: saved by the API, evaluated by the job, read by the API."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from tests.integration.local.running import LocalPlatform

pytestmark = pytest.mark.platform

IN_EFFECT_S = 3.0
WITHIN_S = 20


@pytest.fixture
async def api(platform: LocalPlatform) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {platform.api_token}"}
    async with httpx.AsyncClient(base_url=platform.segments_url, headers=headers, timeout=20) as client:
        yield client


@pytest.fixture
async def ingest(platform: LocalPlatform) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=platform.ingest_url, auth=(platform.write_key, ""), timeout=20) as client:
        yield client


async def until(api: httpx.AsyncClient, person: str, true: Callable[[dict[str, Any]], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not ((found := await api.get(f"/v1/profiles/{person}")).is_success and true(found.json())):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_list_puts_profiles_into_a_segment_and_takes_them_out(
    api: httpx.AsyncClient, ingest: httpx.AsyncClient
) -> None:
    key, person = f"press-{secrets.token_hex(4)}", f"ada-{secrets.token_hex(4)}"
    assert (await api.put(f"/v1/lists/{key}", json={"name": "Press"})).status_code == 201
    rule = {"all": [{"list": key}, {"event": "Visited"}]}
    assert (await api.post("/v1/segments", json={"key": key, "rule": rule, "status": "live"})).status_code == 201
    await asyncio.sleep(IN_EFFECT_S)
    await ingest.post("/v1/track", json={"userId": person, "event": "Visited"})
    await until(api, person, lambda profile: key not in profile["segments"])
    assert (await api.post(f"/v1/lists/{key}/members", json={"profile_ids": [person]})).status_code == 200
    await until(api, person, lambda profile: key in profile["segments"])
    assert (await api.delete(f"/v1/segments/{key}")).status_code == 204
    assert (await api.delete(f"/v1/lists/{key}")).status_code == 204


async def test_a_computed_trait_is_kept_and_read_by_a_rule(api: httpx.AsyncClient, ingest: httpx.AsyncClient) -> None:
    mark, person = secrets.token_hex(4), f"bob-{secrets.token_hex(4)}"
    computed, key = f"spent_{mark}", f"spent-{mark}"
    definition = {"event": f"Paid {mark}", "measure": {"sum": "total"}}
    assert (await api.put(f"/v1/computed-traits/{computed}", json=definition)).status_code == 201
    rule = {"trait": f"computed.{computed}", "op": "gte", "value": 50}
    assert (await api.post("/v1/segments", json={"key": key, "rule": rule, "status": "live"})).status_code == 201
    await asyncio.sleep(IN_EFFECT_S)
    for total in (20, 30.5):
        await ingest.post("/v1/track", json={"userId": person, "event": f"Paid {mark}", "properties": {"total": total}})
    await until(api, person, lambda profile: profile["computed"].get(computed) == 50.5 and key in profile["segments"])
    assert (await api.delete(f"/v1/segments/{key}")).status_code == 204
    assert (await api.delete(f"/v1/computed-traits/{computed}")).status_code == 204
