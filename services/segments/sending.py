"""Answers that are made while they are sent: no client may hold them up, and none is sent to that has gone."""

import asyncio
from typing import Final

from starlette.types import Receive, Send

SLOW_S: Final = 10.0


class SlowReader(Exception):
    """The client does not take what is sent; its answer is cut."""


async def send_piece(send: Send, body: bytes) -> None:
    """Send a piece of a body. Raises SlowReader where the client takes nothing for `SLOW_S`."""
    try:
        async with asyncio.timeout(SLOW_S):
            await send({"type": "http.response.body", "body": body, "more_body": True})
    except TimeoutError as error:
        raise SlowReader(f"a client took nothing for {SLOW_S:g} s") from error


async def disconnected(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
