"""Up to when a segment has been evaluated: it moves on without events, and stands still with a job that hangs."""

import asyncio
import os
import re
import signal
import time
from datetime import datetime
from typing import Any

import pytest

from tests.integration.segments.conftest import World, until

pytestmark = pytest.mark.platform

AWAY_S = 20
"""Longer than a question to Kafka may take."""

FRESH_S = 20
"""On a machine whose cores others use as well; on a quiet one it is 3."""


async def age_s(world: World, key: str) -> float:
    """Infinite where it has not been evaluated yet."""
    told = (await world.get(f"/v1/segments/{key}"))["evaluated_at"]
    return float("inf") if told is None else time.time() - datetime.fromisoformat(told).timestamp()


async def test_a_silent_system_is_fresh_and_a_stuck_one_is_not(platform: Any, world: World) -> None:
    key = await world.segment()
    draft = await world.segment(status="draft")

    async def fresh() -> bool:
        return await age_s(world, key) < FRESH_S

    await until(fresh, expected=True, within_s=180)
    assert (await world.get(f"/v1/segments/{draft}"))["evaluated_at"] is None
    seen = (await world.get(f"/v1/segments/{key}"))["evaluated_at"]

    async def moved() -> bool:
        return bool((await world.get(f"/v1/segments/{key}"))["evaluated_at"] > seen)

    await until(moved, expected=True)

    pid = platform.programs()["taskmanager-1"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(3)  # what was covered by then may still be told
        stuck = (await world.get(f"/v1/segments/{key}"))["evaluated_at"]
        await asyncio.sleep(4)
        assert (await world.get(f"/v1/segments/{key}"))["evaluated_at"] == stuck
        assert await metric_s(world, key) > 4
    finally:
        os.kill(pid, signal.SIGCONT)
    seen = stuck
    await until(moved, expected=True, within_s=60)


async def test_freshness_is_told_again_after_the_broker_was_away(platform: Any, world: World) -> None:
    key = await world.segment()
    pid, until_s = platform.kill("kafka"), time.monotonic() + AWAY_S
    while time.monotonic() < until_s:
        if platform.programs()["kafka"].pid not in (0, pid):
            pid = platform.kill("kafka")
        await asyncio.sleep(0.2)

    async def fresh() -> bool:
        return await age_s(world, key) < FRESH_S

    await until(fresh, expected=True, within_s=120)


async def metric_s(world: World, key: str) -> float:
    text = (await world.api.get("/metrics")).text
    [found] = re.findall(rf'segments_evaluated_age_seconds{{segment="{key}",workspace="demo"}} (\S+)', text)
    return float(found)
