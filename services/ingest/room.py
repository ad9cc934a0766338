"""How much may be under way in one process: requests, and the bytes that they hold. Past it requests are refused.

So a flood costs a refusal each, not memory, and what was let in is answered as fast as ever. A request is refused when
it comes, before any work is put into it: its place counts at once what it will hold, by the length that it declares.
Of that only so much that clients who declare much and send nothing cannot take all room; the rest counts as it comes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from services._kit.errors import ApiError

RETRY_AFTER_S: Final = 1
HELD_OF_BODY: Final = 3
"""A body, and the records that are made of it, which are a little larger than it."""
EXPECTED_MAX: Final = 64 * 1024


@dataclass(slots=True)
class Room:
    """What is under way, and how much may be."""

    limit_requests: int
    limit_bytes: int
    requests: int = 0
    held: int = 0

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
            self.held -= place.held


@dataclass(slots=True)
class Place:
    """What one request holds. `held` bytes of the room are its own, of which `used` are in use."""

    room: Room
    held: int = 0
    used: int = 0

    def expect(self, length: bytes | None) -> None:
        """Take room for a body of this declared length. Raises ApiError (503) where others leave none."""
        if length is not None and length.isdigit():
            self._grow(min(int(length), EXPECTED_MAX) * HELD_OF_BODY)

    def hold(self, size: int) -> None:
        """Hold so many bytes more. Raises ApiError (503) where others leave no room; one alone always has it."""
        self.used += size
        if self.used > self.held:
            self._grow(self.used - self.held)

    def _grow(self, size: int) -> None:
        self.room.held += size
        self.held += size
        if self.room.held > self.room.limit_bytes and self.room.held > self.held:
            raise overloaded()


def overloaded() -> ApiError:
    """503: there is too much under way."""
    return ApiError(
        503, "overloaded", "too much is under way just now; try again", headers={"Retry-After": str(RETRY_AFTER_S)}
    )
