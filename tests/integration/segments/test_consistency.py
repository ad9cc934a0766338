"""Size, members and export while members come and go: each is the segment as it was at one moment, and says when."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.segments.conftest import World
from tests.integration.segments.test_changes import changes

pytestmark = pytest.mark.platform

CLOCKS = timedelta(milliseconds=5)
"""Times of answers have milliseconds."""


async def test_each_answer_is_of_one_moment(world: World) -> None:
    key, chance = await world.segment(), random.Random(7)  # noqa: S311  a seeded test
    people = await world.members(key, 60)
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            await world.put({each: [key] if chance.random() < 0.6 else [] for each in chance.sample(people, 12)})
            await asyncio.sleep(0.01)

    async def at_its_time(path: str, **parameters: Any) -> Any:
        before = datetime.now(UTC) - CLOCKS
        answer = await world.api.get(f"/v1/segments/{key}/{path}", params=parameters)
        as_of = datetime.fromisoformat(answer.headers.get("As-Of") or answer.json()["as_of"])
        assert before <= as_of <= datetime.now(UTC) + CLOCKS
        return answer

    exports, pages, sizes = [], [], []
    writer = asyncio.create_task(write())
    try:
        for _ in range(25):
            lines = (await at_its_time("export", format="jsonl")).text.splitlines()
            exports.append(frozenset(json.loads(line)["profile_id"] for line in lines))
            listed = (await at_its_time("members", limit=1000)).json()["members"]
            pages.append(frozenset(each["profile_id"] for each in listed))
            sizes.append((await at_its_time("size")).json()["size"])
    finally:
        stop.set()
        await writer

    members: set[str] = set()
    moments = {frozenset(members)}
    for each in await changes(world, key):
        (members.add if each["change"] == "entered" else members.discard)(each["profile_id"])
        moments.add(frozenset(members))
    assert len(set(exports)) > 3, "nothing moved"
    assert set(exports) <= moments
    assert set(pages) <= moments
    assert set(sizes) <= {len(each) for each in moments}
