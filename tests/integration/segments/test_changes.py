"""Changes of a segment's members: pages, their stream, and readers that are cut off."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.integration.segments.conftest import World, until
from tests.integration.segments.test_contract import TIME, refused

pytestmark = pytest.mark.platform


async def changes(world: World, key: str) -> list[dict[str, Any]]:
    """All of them, in pages."""
    found: list[dict[str, Any]] = []
    while True:
        page = await world.get(f"/v1/segments/{key}/changes", after=found[-1]["seq"] if found else 0, limit=100)
        if not page["changes"]:
            assert page["next"] == (found[-1]["seq"] if found else 0)
            return found
        assert page["next"] == page["changes"][-1]["seq"]
        found += page["changes"]


async def frames(world: World, key: str, headers: dict[str, str] | None = None, **query: Any) -> AsyncIterator[Any]:
    """The changes of a stream, each with the id of its frame."""
    path = f"/v1/segments/{key}/changes/stream"
    async with world.api.stream("GET", path, headers=headers, params=query) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        frame: dict[str, str] = {}
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if line and name:
                frame[name] = value
            elif "data" in frame:
                yield frame["id"], json.loads(frame["data"])
                frame = {}


async def test_changes(world: World) -> None:
    key, ada, bob = await world.segment(), world.person("ada"), world.person("bob")
    assert await changes(world, key) == []
    await world.put({ada: [key], bob: [key]})
    await until(lambda: world.size(key), 2)
    await world.put({ada: []})
    await until(lambda: world.size(key), 1)
    await world.put({ada: [key]}, plan="new")
    await world.put({ada: [key]}, plan="newer")
    await until(lambda: world.size(key), 2)
    found = await changes(world, key)
    assert [set(each) for each in found] == [{"seq", "profile_id", "change", "at", "version"}] * 4
    assert [each["change"] for each in found if each["profile_id"] == ada] == ["entered", "exited", "entered"]
    assert [each["change"] for each in found if each["profile_id"] == bob] == ["entered"]
    assert [each["seq"] for each in found] == sorted({each["seq"] for each in found})
    assert {each["version"] for each in found} == {1}
    assert all(TIME.fullmatch(each["at"]) for each in found)
    for parameter in ("after=-1", "after=x", "limit=0", f"after={2**63}"):
        refused(await world.api.get(f"/v1/segments/{key}/changes?{parameter}"), 422, "invalid_request")
    for path in ("changes", "changes/stream"):
        refused(await world.api.get(f"/v1/segments/none/{path}"), 404, "segment_not_found")
    bad = await world.api.get(f"/v1/segments/{key}/changes/stream", headers={"Last-Event-ID": "x"})
    refused(bad, 422, "invalid_request")


async def test_what_comes_and_goes_at_once_is_told(world: World) -> None:
    key, ada = await world.segment(), world.person("ada")
    for turn in range(20):
        await world.put({ada: [key] if turn % 2 == 0 else []})
    await world.put({world.person("last"): [key]})

    async def told() -> list[str]:
        return [each["change"] for each in await changes(world, key) if each["profile_id"] == ada]

    await until(told, ["entered", "exited"] * 10)


async def test_a_stream_tells_within_a_moment(world: World) -> None:
    key, ada = await world.segment(), world.person("ada")
    stream = frames(world, key)
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(1)
    started_s = time.monotonic()
    await world.put({ada: [key]})
    frame_id, change = await asyncio.wait_for(first, 10)
    assert time.monotonic() - started_s < 5
    assert (frame_id, change["profile_id"], change["change"]) == (str(change["seq"]), ada, "entered")
    await stream.aclose()
    await world.put({ada: []})
    for resumed in (frames(world, key, {"Last-Event-ID": frame_id}), frames(world, key, after=frame_id)):
        _, change = await asyncio.wait_for(anext(resumed), 10)
        assert (change["profile_id"], change["change"]) == (ada, "exited")
        await resumed.aclose()


async def test_a_reader_that_is_cut_off_fifty_times(world: World) -> None:
    """It misses nothing, sees nothing twice, and has the members at the end."""
    key, chance = await world.segment(), random.Random(5)  # noqa: S311  a seeded test
    people = [world.person(number) for number in range(40)]
    seen: list[dict[str, Any]] = []
    cuts = 0
    written = asyncio.Event()

    async def write() -> None:
        for _ in range(250):
            await world.put({each: [key] if chance.random() < 0.5 else [] for each in chance.sample(people, 8)})
            await asyncio.sleep(0.02)
        await world.put({each: [key] for each in people})
        written.set()

    async def read_until_cut(most: int) -> None:
        nonlocal cuts
        last = seen[-1]["seq"] if seen else 0
        stream = frames(world, key, {"Last-Event-ID": str(last)})
        try:
            async with asyncio.timeout(0.4):
                async for frame_id, change in stream:
                    assert int(frame_id) == change["seq"]
                    seen.append(change)
                    most -= 1
                    if not most:
                        break
        except TimeoutError:
            pass
        finally:
            cuts += 1
            await stream.aclose()

    writer = asyncio.create_task(write())
    while cuts < 50 or not written.is_set() or len(seen) < len(await changes(world, key)):
        await read_until_cut(chance.randrange(1, 40))
        assert cuts < 1_000
    await writer
    await until(lambda: world.size(key), len(people))
    everything = await changes(world, key)
    while len(seen) < len(everything):
        await read_until_cut(100)
    assert seen == everything
    members: set[str] = set()
    for each in seen:
        assert (each["profile_id"] in members) is (each["change"] == "exited")
        (members.add if each["change"] == "entered" else members.discard)(each["profile_id"])
    listed = await world.get(f"/v1/segments/{key}/members", limit=1000)
    assert members == {each["profile_id"] for each in listed["members"]} == set(people)


async def test_many_readers_of_one_segment(world: World) -> None:
    key = await world.segment()
    people = await world.members(key, 200)

    async def read() -> list[str]:
        stream = frames(world, key)
        found = [(await asyncio.wait_for(anext(stream), 20))[1]["profile_id"] for _ in people]
        await stream.aclose()
        return found

    readers = await asyncio.gather(*(read() for _ in range(20)))
    assert all(each == readers[0] for each in readers)
    assert sorted(readers[0]) == people


async def test_a_stream_ends_with_its_segment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await world.segment()
    stream = frames(world, key)
    ended = asyncio.ensure_future(anext(stream, None))
    await asyncio.sleep(0.5)
    await world.api.delete(f"/v1/segments/{key}")
    assert await asyncio.wait_for(ended, 15) is None


async def test_without_a_token(platform: Any) -> None:
    async with httpx.AsyncClient(base_url=platform.segments_url) as anybody:
        assert (await anybody.get("/v1/segments/x/changes/stream")).status_code == 401
