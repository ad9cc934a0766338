"""Tasks that run beside the requests for as long as a service does."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress

import structlog

log = structlog.stdlib.get_logger(__name__)


@asynccontextmanager
async def background(task: Coroutine[object, object, None], name: str) -> AsyncIterator[None]:
    """Run `task` for as long as the block lasts. One that ends by itself has a fault, which is logged at once."""
    running = asyncio.create_task(task, name=name)
    running.add_done_callback(_report)
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, Exception):  # `_report` has it
            await running


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("a background task failed", task=task.get_name(), exc_info=error)
