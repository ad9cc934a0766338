"""How much may be under way in one process: requests, and the bytes that they hold. Past it requests are refused.

So a flood costs a refusal each, not memory, and what was let in is answered as fast as ever. A request is refused when
it comes, before any work is put into it: its place counts at once what it will hold, by the length that it declares.
Of that only so much that clients who declare much and send nothing cannot take all room; the rest counts as it comes.
"""

from dataclasses import dataclass
from types import TracebackType
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

    def take(self, length: bytes | None) -> "Place":
        """A place for one request, whose body has this declared length. Raises ApiError (503) where there is none."""
        expected = min(int(length), EXPECTED_MAX) * HELD_OF_BODY if length is not None and length.isdigit() else 0
        if self.requests >= self.limit_requests or (self.held and self.held + expected > self.limit_bytes):
            raise overloaded()
        self.requests += 1
        self.held += expected
        return Place(self, expected)


@dataclass(slots=True)
class Place:
    """What one request holds, until its block ends. `held` bytes of the room are its own, of which `used` are used."""

    room: Room
    held: int
    used: int = 0

    def __enter__(self) -> "Place":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.room.requests -= 1
        self.room.held -= self.held

    def hold(self, size: int) -> None:
        """Hold so many bytes more. Raises ApiError (503) where others leave no room; one alone always has it."""
        self.used += size
        if self.used > self.held:
            self.room.held += self.used - self.held
            self.held = self.used
            if self.room.held > self.room.limit_bytes and self.room.held > self.held:
                raise overloaded()


def overloaded() -> ApiError:
    """503: there is too much under way."""
    return ApiError(
        503, "overloaded", "too much is under way just now; try again", headers={"Retry-After": str(RETRY_AFTER_S)}
    )
