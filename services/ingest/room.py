"""How much may be under way in one process: requests, and the bytes that they hold. Past it requests are refused.

So a flood costs a refusal each, not memory, and what was let in is answered as fast as ever. Bytes count when they are
here: a client that is slow to send holds only what it has sent.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from services._kit.errors import ApiError

RETRY_AFTER_S: Final = 1


@dataclass(slots=True)
class Room:
    """What is under way, and how much may be."""

    limit_requests: int
    limit_bytes: int
    requests: int = 0
    bytes: int = 0

    @contextmanager
    def place(self) -> Iterator["Place"]:
        """A place for one request, for as long as the block lasts. Raises ApiError (503) where there is none."""
        if self.requests >= self.limit_requests:
            raise overloaded()
        self.requests += 1
        place = Place(self)
        try:
            yield place
        finally:
            self.requests -= 1
            self.bytes -= place.bytes


@dataclass(slots=True)
class Place:
    """What one request holds."""

    room: Room
    bytes: int = 0

    def hold(self, size: int) -> None:
        """Hold so many bytes more. Raises ApiError (503) where others leave no room; one alone always has it."""
        self.room.bytes += size
        self.bytes += size
        if self.room.bytes > self.room.limit_bytes and self.room.bytes > self.bytes:
            raise overloaded()


def overloaded() -> ApiError:
    """503: there is too much under way."""
    return ApiError(
        503, "overloaded", "too much is under way just now; try again", headers={"Retry-After": str(RETRY_AFTER_S)}
    )
