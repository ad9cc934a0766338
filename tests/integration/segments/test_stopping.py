"""A process of segment-api that is told to stop ends its streams, and itself, without waiting for their readers."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from typing import Any

import httpx
import pytest

from local.settings import ROOT
from tests.integration.segments.conftest import World, until

pytestmark = pytest.mark.platform

GRACE_S = 15  # uvicorn would wait for 20


async def test_streams_end_with_the_service(platform: Any, world: World) -> None:
    key = await world.segment()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "AUDIENCE_PORT": str(port),
        "AUDIENCE_KAFKA_BOOTSTRAP_SERVERS": platform.kafka_bootstrap,
        "AUDIENCE_POSTGRES_DSN": platform.postgres_dsn,
    }
    command = [sys.executable, "-m", "services.segments"]
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)  # noqa: ASYNC220, S603
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=world.api.headers, timeout=GRACE_S
        ) as api:

            async def ready() -> bool:
                try:
                    return (await api.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(ready, expected=True, within_s=60)
            async with asyncio.timeout(GRACE_S), api.stream("GET", f"/v1/segments/{key}/changes/stream") as answer:
                pieces = answer.aiter_bytes()
                assert await anext(pieces) == b"retry: 1000\n\n"
                process.send_signal(signal.SIGTERM)
                assert [piece async for piece in pieces] == []
        assert await asyncio.to_thread(process.wait, GRACE_S) == -signal.SIGTERM or process.returncode == 0
    finally:
        process.kill()
        process.wait()
