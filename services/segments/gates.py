"""What bounds the work in hand: places for requests, and room for their bodies.

A request that finds no place waits for one, for a moment, so that a burst is answered late and not refused; then it is
refused with 503, which is paced by that wait. What waits costs little: it has not been looked at yet.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from starlette.types import Message, Receive

from services._kit.errors import overloaded

QUICK_AT_ONCE: Final = 64
"""Requests that end with the database's answer: more of them than it has connections for, and few enough to hold."""

SLOW_AT_ONCE: Final = 32
"""Requests that wait for the streaming job, or read a history: seconds each, and none of the others' places."""

MOST_BODY_BYTES: Final = 256 << 20
"""Of all requests together; one may have 16 MiB."""


class Gate:
    """Places for `most` requests at a time."""

    def __init__(self, most: int, wait_s: float) -> None:
        self._places = asyncio.Semaphore(most)
        self._wait_s = wait_s

    async def enter(self) -> None:
        """Take a place. Raises ApiError 503 where there is none within `wait_s`."""
        if not self._places.locked():
            await self._places.acquire()  # at once
            return
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise overloaded() from error

    def leave(self) -> None:
        """Give it back."""
        self._places.release()


class Bodies:
    """Room for the bodies of requests that are in hand."""

    def __init__(self, most_bytes: int = MOST_BODY_BYTES) -> None:
        self._left = most_bytes

    @contextmanager
    def counted(self, receive: Receive) -> Iterator[Receive]:
        """`receive`, which raises ApiError 503 where there is no room for what comes; given back after the block."""
        held = 0

        async def received() -> Message:
            nonlocal held
            message = await receive()
            size = len(message.get("body", b""))
            if size > self._left:
                raise overloaded()
            self._left -= size
            held += size
            return message

        try:
            yield received
        finally:
            self._left += held
