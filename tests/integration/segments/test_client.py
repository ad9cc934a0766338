"""The client package against the running service: every method of both clients."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from audience_client import ApiError, AsyncAudienceClient, AudienceClient, Change

from tests.integration.segments.conftest import NEVER, World, until

pytestmark = pytest.mark.platform


@pytest.fixture
async def client(platform: Any) -> AsyncIterator[AsyncAudienceClient]:
    async with AsyncAudienceClient(platform.segments_url, platform.api_token) as made:
        yield made


@pytest.fixture
def waiting(platform: Any) -> Iterator[AudienceClient]:
    with AudienceClient(platform.segments_url, platform.api_token) as made:
        yield made


async def test_segments(client: AsyncAudienceClient, world: World) -> None:
    key = world.name
    world.segments.append(key)
    made = await client.create_segment(key, NEVER, name="Mine", tags=["a"], status="live")
    assert (made.key, made.name, made.version, made.size, made.status) == (key, "Mine", 1, 0, "live")
    assert await client.segment(key) == made
    changed = await client.replace_segment(key, {"event": "other"}, status="live", etag=made.etag)
    assert changed.version == 2
    with pytest.raises(ApiError) as refused:
        await client.replace_segment(key, NEVER, etag=made.etag)
    assert (refused.value.status, refused.value.code) == (412, "version_conflict")
    with pytest.raises(ApiError, match="rule_invalid") as refused:
        await client.replace_segment(key, {"event": 5})
    assert refused.value.errors[0].path == "/event"
    assert [each.version async for each in client.versions(key)] == [2, 1]
    assert key in [each.key async for each in client.segments()]
    await client.delete_segment(key)
    with pytest.raises(ApiError, match="segment_not_found"):
        await client.segment(key)


async def test_members(client: AsyncAudienceClient, waiting: AudienceClient, world: World) -> None:
    key, other = await world.segment(), await world.segment()
    people = await world.members(key, 1_205)
    assert [each.profile_id async for each in client.members(key)] == people
    assert (await client.size(key)).size == 1_205
    found = await client.segments_of(people[0])
    assert key in found
    assert other not in found
    assert await client.lookup([people[0], "nobody"], [key]) == {people[0]: [key], "nobody": []}
    assert (await client.profile(people[0])).segments == [key]
    overlap = await client.overlap(key, other)
    assert (overlap.sizes[key], overlap.intersections[frozenset((key, other))], overlap.union) == (1_205, 0, 1_205)
    changes = [each async for each in client.changes(key)]
    assert sorted(each.profile_id for each in changes) == people
    lines = b"".join([piece async for piece in client.export(key, "jsonl")]).splitlines()
    assert [json.loads(line)["profile_id"] for line in lines] == people

    def same_while_waiting() -> None:
        assert [each.profile_id for each in waiting.members(key)] == people
        assert list(waiting.changes(key)) == changes
        assert waiting.segments_of(people[0]).segments == found.segments
        assert b"".join(waiting.export(key, "jsonl")).splitlines() == lines

    await asyncio.to_thread(same_while_waiting)


async def test_following(client: AsyncAudienceClient, world: World) -> None:
    key = await world.segment()
    people = await world.members(key, 3)
    seen: list[Change] = []
    async for change in client.follow(key):
        seen.append(change)
        if len(seen) == 3:
            await world.put({people[0]: []})
        if len(seen) == 4:
            break
    assert (seen[3].profile_id, seen[3].change) == (people[0], "exited")


async def test_lists(client: AsyncAudienceClient, world: World) -> None:
    key = f"{world.name}-l"
    assert (await client.put_list(key, "Mine")).name == "Mine"
    assert (await client.add_to_list(key, ["a", "b"])).size == 2
    await client.delete_list(key)
    with pytest.raises(ApiError, match="list_not_found"):
        await client.delete_list(key)


async def test_it_goes_on_when_the_service_comes_back(client: AsyncAudienceClient, world: World) -> None:
    """A follower of a stream that the service ends (here: its segment is gone) is told what became of it."""
    key = await world.segment()
    follower = client.follow(key)
    told = asyncio.ensure_future(anext(follower))
    await asyncio.sleep(0.5)
    await client.delete_segment(key)
    with pytest.raises(ApiError, match="segment_not_found"):
        await asyncio.wait_for(told, 20)

    async def gone() -> int:
        return (await world.api.get(f"/v1/segments/{key}")).status_code

    await until(gone, 404)
