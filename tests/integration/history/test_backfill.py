"""Segments that are created in the middle of the stream, on the running platform, against the oracle."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from typing import Any

import httpx
import pytest

from local import services
from local.settings import ROOT
from tests.faults.trial import Rules, Trial
from tests.integration.local.running import LocalPlatform

pytestmark = pytest.mark.platform

PEOPLE = 40
EVENTS_PER_S = 150.0


async def test_segments_created_on_the_way_have_the_oracles_members(platform: LocalPlatform) -> None:
    trial = Trial(platform, Rules.random(12, first_pair=40))
    sending = asyncio.create_task(trial.send(PEOPLE, 8_100_000, EVENTS_PER_S))
    await asyncio.sleep(1.5)
    try:
        await trial.save_rules()
        await sending
        await trial.backfilled()
        await trial.settle()
        verdict = await trial.verdict()
    finally:
        await trial.remove_rules()
    assert verdict.compared > PEOPLE * 10
    assert verdict.members > PEOPLE // 2
    assert not verdict.wrong, verdict.wrong[:20]


@pytest.fixture
def mark() -> str:
    return secrets.token_hex(4)


async def test_a_backfill_is_paused_resumed_cancelled_and_asked_for_again(platform: LocalPlatform, mark: str) -> None:
    headers = {"Authorization": f"Bearer {platform.api_token}"}
    path = f"/v1/segments/late-{mark}/backfill"
    async with httpx.AsyncClient(base_url=platform.segments_url, headers=headers, timeout=20) as api:
        call = {"userId": f"ada-{mark}", "event": f"Came {mark}"}
        sent = await api.post(f"{platform.ingest_url}/v1/track", json=call, auth=(platform.write_key, ""))
        assert sent.status_code == 200
        await _profile(api, f"ada-{mark}")
        rule = {"event": f"Came {mark}"}
        answer = await api.post("/v1/segments", json={"key": f"late-{mark}", "rule": rule, "status": "live"})
        etag = answer.headers["etag"]
        assert answer.json()["backfill"]["state"] == "waiting"
        assert (await api.patch(path, json={"state": "paused"})).json()["state"] == "paused"
        assert (await api.patch(path, json={"state": "running"})).json()["state"] in ("waiting", "running")
        assert (await api.patch(path, json={"state": "cancelled"})).json()["reason"] == "cancelled"
        refused = await api.patch(path, json={"state": "paused"})
        assert (refused.status_code, refused.json()["code"]) == (409, "backfill_not_outstanding")
        assert (await api.patch(path, json={"state": "done"})).status_code == 422

        begun = await api.post(path)
        assert (begun.status_code, begun.headers["location"]) == (202, path)
        async with asyncio.timeout(40):
            while (found := (await api.get(path)).json())["state"] != "done":  # noqa: ASYNC110
                await asyncio.sleep(0.3)
        assert found["profiles_done"] == found["profiles_total"] > 0
        [listed] = json.loads(ops(platform, "show", f"late-{mark}", "--json"))
        assert (listed["state"], listed["profiles_done"]) == ("done", found["profiles_done"])
        assert "no backfill that can be paused" in ops(platform, "pause", f"late-{mark}", status=1)
        assert "is filled again" in ops(platform, "again", f"late-{mark}")
        assert "is cancelled" in ops(platform, "cancel", f"late-{mark}")
        async with asyncio.timeout(10):
            while (await _profile(api, f"ada-{mark}"))["segments"] != [f"late-{mark}"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        # What the platform does to a segment is no author's write.
        kept = await api.put(f"/v1/segments/late-{mark}", json={"rule": rule}, headers={"If-Match": etag})
        assert kept.status_code == 200, kept.text
        assert (await api.delete(f"/v1/segments/late-{mark}")).status_code == 204
        assert (await api.get(path)).status_code == 404


def ops(platform: LocalPlatform, *arguments: str, status: int = 0) -> str:
    done = subprocess.run(  # noqa: S603  a command of ours
        [sys.executable, "-m", "services.operations", "backfill", *arguments],
        env={"PATH": os.defpath, **services.environment(platform.settings, platform.layout, {})},
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


async def _profile(api: httpx.AsyncClient, profile_id: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while (answer := await api.get(f"/v1/profiles/{profile_id}")).status_code == 404:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    found: dict[str, Any] = answer.json()
    return found
