"""The frame of a service: its lifespan, errors, health, request ids. A service adds its routes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services._kit import errors, health, reference
from services._kit.health import Check
from services._kit.request_id import RequestIdMiddleware


class Opener(Protocol):
    """Opens what the service needs on the stack, keeps it in ``app.state``, and gives the readiness checks."""

    async def __call__(self, app: FastAPI, stack: AsyncExitStack, /) -> Mapping[str, Check]: ...


def create_app(
    title: str, version: str, open_resources: Opener, registry: CollectorRegistry, shape: errors.Shape = errors.plain
) -> FastAPI:
    """A FastAPI application whose resources open in one exit stack, so that a failed start still closes."""
    checks: dict[str, Check] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            checks.update(await open_resources(app, stack))
            yield
            checks.clear()

    app = FastAPI(title=title, version=version, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(RequestIdMiddleware)
    errors.install(app, shape)
    health.install(app, checks, registry)
    reference.install(app)
    return app
