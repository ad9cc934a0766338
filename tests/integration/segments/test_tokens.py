"""Tokens are made and revoked while the service runs, and do what their scopes say."""

import asyncio
import os
import secrets
import subprocess
import sys
from typing import Any

import httpx
import pytest

from local.settings import ROOT
from tests.integration.segments.conftest import NEVER, until
from tests.integration.segments.test_contract import refused

pytestmark = pytest.mark.platform


def ops(platform: Any, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "services.operations", *arguments],
        env={**os.environ, "AUDIENCE_POSTGRES_DSN": platform.postgres_dsn},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


async def test_a_token_from_its_making_to_its_end(platform: Any) -> None:
    workspace = f"w-{secrets.token_hex(6)}"
    create = ("tokens", "create", "reader", "--workspace", workspace, "--scope", "memberships:read")
    token = await asyncio.to_thread(ops, platform, *create)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=platform.segments_url, headers=headers) as api:
        assert (await api.get("/v1/profiles/a/segments")).status_code == 200
        assert (await api.post("/v1/memberships/lookup", json={"profile_ids": []})).status_code == 200
        for method, path in (
            ("GET", "/v1/profiles/a"),
            ("GET", "/v1/segments"),
            ("POST", "/v1/segments"),
            ("DELETE", "/v1/segments/a"),
            ("PUT", "/v1/lists/a"),
            ("GET", "/v1/profiles/a/explain/b"),
            ("GET", "/v1/none"),
        ):
            refused(await api.request(method, path, content=b"{"), 403, "forbidden")
        space = await api.get(f"/v1/spaces/{workspace}/collections/users/profiles/user_id:a/traits")
        assert (space.status_code, space.json()["error"]["code"]) == (403, "authentication_error")

        async def last_use() -> bool:
            listed = await asyncio.to_thread(ops, platform, "tokens", "list")
            [line] = [line for line in listed.splitlines() if line.startswith(f"{workspace}\t")]
            assert token not in listed
            return not line.endswith("\t-")

        await until(last_use, expected=True, within_s=30)
        await asyncio.to_thread(ops, platform, "tokens", "revoke", "reader", "--workspace", workspace)

        async def status() -> int:
            return (await api.get("/v1/profiles/a/segments")).status_code

        await until(status, 401, within_s=10)


async def test_workspaces_are_apart(platform: Any, api: httpx.AsyncClient) -> None:
    workspace, key = f"w-{secrets.token_hex(6)}", f"test-{secrets.token_hex(6)}"
    token = await asyncio.to_thread(ops, platform, "tokens", "create", "all", "--workspace", workspace)
    await api.post("/v1/segments", json={"key": key, "rule": NEVER, "status": "live"})
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=platform.segments_url, headers=headers) as other:
        for path in ("", "/size", "/members", "/changes", "/changes/stream", "/export", "/versions", "/overlap?with=x"):
            refused(await other.get(f"/v1/segments/{key}{path}"), 404, "segment_not_found")
        refused(await other.delete(f"/v1/segments/{key}"), 404, "segment_not_found")
        space = await other.get("/v1/spaces/demo/collections/users/profiles/user_id:a/traits")
        assert (space.status_code, space.json()["error"]["code"]) == (404, "not_found")
    assert (await api.delete(f"/v1/segments/{key}")).status_code == 204
