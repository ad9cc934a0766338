"""Waits until everything that was sent has counted: no consumer is behind, and each size is what it must be."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

Sizes = Mapping[str, int]
LOOK_EVERY_S: Final = 0.3
STILL_FOR_S: Final = 20.0
"""Sizes that are wrong and have not moved for so long, with nobody behind, will not become right."""
AT_MOST_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Settled:
    """The last look: what the platform says, what it must be, how far consumers are behind (None: not known)."""

    sizes: Sizes
    expected: Sizes
    behind: int | None
    took_s: float

    @property
    def equal(self) -> bool:
        return self.sizes == self.expected


def settle(
    sizes: Callable[[], Sizes],
    expected: Callable[[], Sizes],
    behind: Callable[[], int | None],
    seen: Callable[[Sizes, int | None], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Settled:
    """Look until all sizes are equal and nobody is behind, or nothing moves any more, or time is up."""
    began = moved = clock()
    last: tuple[Sizes, int | None] | None = None
    while True:
        look = (sizes(), behind())
        state = Settled(look[0], expected(), look[1], clock() - began)
        if look != last:
            last, moved = look, clock()
            seen(*look)
        if state.equal and state.behind == 0:
            return state
        if clock() - moved > STILL_FOR_S or clock() - began > AT_MOST_S:
            return state
        sleep(LOOK_EVERY_S)
