"""`/healthz` (the process is alive), `/readyz` (it can do its work, with each dependency's state) and `/metrics`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry
from starlette.responses import Response

from services._kit.processes import exposition

Check = Callable[[], Awaitable[None]]
"""Returns when the dependency answers and raises otherwise; what it raises is shown."""

CHECK_TIMEOUT_S = 2.0


class Degraded(Exception):
    """Raised by a check: the dependency is away, and the service does its work without it for now."""


async def _state(check: Check) -> dict[str, str]:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except TimeoutError:
        return {"status": "away", "message": f"no answer within {CHECK_TIMEOUT_S:g} s"}
    except Degraded as error:
        return {"status": "degraded", "message": str(error)}
    except Exception as error:  # noqa: BLE001  whatever a driver raises is the state that we are asked for
        return {"status": "away", "message": f"{type(error).__name__}: {error}"}
    return {"status": "ok"}


def install(app: FastAPI, checks: Mapping[str, Check], registry: CollectorRegistry) -> None:
    """Add the three routes. `checks` is read at each request, since dependencies open in the lifespan."""

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        named = dict(checks)
        states = dict(zip(named, await asyncio.gather(*map(_state, named.values())), strict=True))
        ready = bool(named) and all(state["status"] != "away" for state in states.values())
        body: dict[str, Any] = {"status": "ready" if ready else "not ready", "dependencies": states}
        return Response(msgspec.json.encode(body), 200 if ready else 503, media_type="application/json")

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(exposition(registry), media_type=CONTENT_TYPE_LATEST)
