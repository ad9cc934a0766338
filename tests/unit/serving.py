"""An application over real sockets, in the protocol that our services speak."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from services._kit.protocol import LimitedProtocol


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[int]:
    """Its port, for as long as the block lasts; who needs its lifespan has begun that."""
    config = uvicorn.Config(
        app, port=0, http=LimitedProtocol, ws="none", log_config=None, lifespan="off", proxy_headers=False
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task
