"""Waits until everything that was sent has counted: no consumer is behind, and each size is what it must be.

A consumer that has read all it can tells so late: Flink's Kafka source commits its offsets between two polls, and an
idle poll takes up to 10 s. So the sizes say when the work was done, and the offsets, later, that nothing is left.
"""

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
    """The last look: what the platform says, what it must be, how far consumers are behind (None: not known).

    `right_at_s` is the clock's time since which the sizes have been right at every look; None where they are wrong.
    """

    sizes: Sizes
    expected: Sizes
    behind: int | None
    right_at_s: float | None

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
    right_at: float | None = None
    last: tuple[Sizes, int | None] | None = None
    while True:
        found, wanted = sizes(), expected()
        if found != wanted:
            right_at = None
        elif right_at is None:
            right_at = clock()
        look = (found, behind())
        state = Settled(found, wanted, look[1], right_at)
        if look != last:
            last, moved = look, clock()
            seen(*look)
        if state.equal and state.behind == 0:
            return state
        if clock() - moved > STILL_FOR_S or clock() - began > AT_MOST_S:
            return state
        sleep(LOOK_EVERY_S)
