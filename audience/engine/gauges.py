"""The conditions that rules put on one leaf, all read at once: a mask with a bit for each.

Many rules ask the same leaf ("orders in 30 days") for different bounds. A gauge holds all their bounds in order, so
that one binary search answers them all, and so that the next instant at which any answer changes is found from the
panes that will leave. A gauge is never changed: a leaf that gets a new condition gets a new gauge.
"""

import operator
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, Protocol

from audience.engine.decimals import to_micros
from audience.engine.measures import Count, Numbers, SeriesState
from audience.rules.tree import Bound, Window

Bounds = tuple[tuple[Bound, int | float], ...]
"""What a measure is held against; all must hold."""

BitBounds = Sequence[tuple[int, Bounds]]
"""Conditions and the number of the bit that each has in the mask."""

_WIDEST: Final = 1 << 63

_HOLDS: Final[Mapping[Bound, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


Reading = tuple[int | str, int]
"""A sum in millionths and a count. A sum beyond 64 bits is its decimal text: stored states have no such number."""


def as_reading(sums: tuple[int, int]) -> Reading:
    """What a series of numbers reads, fit to be stored."""
    return sums if -_WIDEST < sums[0] < _WIDEST else (str(sums[0]), sums[1])


class Gauge(Protocol):
    """Turns what a leaf reads into the conditions that hold, and tells how far the reading is from changing them."""

    @property
    def empty_mask(self) -> int:
        """The conditions that hold where nothing was counted."""

    def mask(self, reading: Any) -> int: ...

    def next_change_ms(self, state: Any, reading: Any, window: Window, first_pane: int) -> int | None:
        """An instant before which panes that leave do not change the mask, whatever events come; None for never."""

    def headroom(self, reading: Any) -> int | None:
        """By how much the reading must grow to change the mask: events, or millionths. None where it never does.

        Only gauges of counts and sums can tell; the others say 1, to be asked after every event.
        """


class Scale:
    """A row of bounds as a step function from a measured value to a mask."""

    __slots__ = ("_ceilings", "_floors", "_masks", "_points")

    def __init__(self, conditions: BitBounds, convert: Callable[[int | float], Any] = lambda bound: bound) -> None:
        converted = [(bit, [(op, convert(bound)) for op, bound in bounds]) for bit, bounds in conditions]
        self._points = sorted({bound for _, bounds in converted for _, bound in bounds})
        place = {point: index for index, point in enumerate(self._points)}
        flips = [0] * (2 * len(self._points) + 2)
        for bit, bounds in converted:
            for first, last in _cells([(op, place[bound]) for op, bound in bounds], len(flips) - 2):
                flips[first] ^= 1 << bit
                flips[last + 1] ^= 1 << bit
        self._masks = list(accumulate(flips[:-1], operator.xor))
        self._floors = _furthest(self._masks)
        last = len(self._masks) - 1
        self._ceilings = [last - cell for cell in reversed(_furthest(self._masks[::-1]))]

    def mask(self, value: Any) -> int:
        mask: int = self._masks[self._cell(value)]
        return mask

    def _cell(self, value: Any) -> int:
        """Twice the index of the first bound not below the value, plus one where it equals that bound."""
        points = self._points
        index = bisect_left(points, value)
        return 2 * index + (index < len(points) and points[index] == value)

    def floor(self, value: Any) -> tuple[Any, bool] | None:
        """How far the value can fall with the mask it has: a bound, and whether the bound itself still has that mask.

        None where it can fall for ever.
        """
        cell = self._floors[self._cell(value)]
        if cell == 0:
            return None
        return self._points[(cell - 1) // 2], cell % 2 == 1

    def ceiling(self, value: Any) -> tuple[Any, bool] | None:
        """How far it can rise with the mask it has: a bound, and whether the bound itself still has that mask."""
        cell = self._ceilings[self._cell(value)]
        if cell == len(self._masks) - 1:
            return None
        return self._points[cell // 2], cell % 2 == 1


def _furthest(masks: list[int]) -> list[int]:
    """For each cell the lowest cell that is reached downwards without another mask."""
    furthest: list[int] = []
    for cell, mask in enumerate(masks):
        furthest.append(furthest[cell - 1] if cell and masks[cell - 1] == mask else cell)
    return furthest


def _cells(bounds: Sequence[tuple[Bound, int]], last: int) -> list[tuple[int, int]]:
    """The runs of cells, of 0 to `last`, in which all bounds hold: cell 2i+1 is bound i, cell 2i lies just below it."""
    runs = [(0, last)]
    for op, point in bounds:
        runs = [
            (max(first, low), min(end, high))
            for first, end in runs
            for low, high in _CELLS[op](2 * point + 1, last)
            if max(first, low) <= min(end, high)
        ]
    return runs


_CELLS: Final[Mapping[Bound, Callable[[int, int], tuple[tuple[int, int], ...]]]] = {
    "eq": lambda cell, _: ((cell, cell),),
    "ne": lambda cell, last: ((0, cell - 1), (cell + 1, last)),
    "gt": lambda cell, last: ((cell + 1, last),),
    "gte": lambda cell, last: ((cell, last),),
    "lt": lambda cell, _: ((0, cell - 1),),
    "lte": lambda cell, _: ((0, cell),),
}


@dataclass(slots=True)
class CountGauge:
    """Bounds of a number of events."""

    scale: Scale
    empty_mask: int

    def mask(self, reading: int) -> int:
        return self.scale.mask(reading)

    def next_change_ms(self, state: Count, reading: int, window: Window, first_pane: int) -> int | None:  # noqa: ARG002
        floor = self.scale.floor(reading)
        if floor is None:
            return None
        bound, included = floor
        # The count falls by whole events: the least of it that still has this mask.
        least = -int(-bound // 1) if included else int(bound // 1) + 1
        return window.leaves_at(state.pane_that_leaves(least)) if least > 0 else None

    def headroom(self, reading: int) -> int | None:
        ceiling = self.scale.ceiling(reading)
        if ceiling is None:
            return None
        bound, included = ceiling
        # The least count that has another mask.
        return (int(bound // 1) + 1 if included else -int(-bound // 1)) - reading


@dataclass(slots=True)
class SumGauge:
    """Bounds of a sum of millionths; the reading is the sum and the count, as `as_reading` has them."""

    scale: Scale
    empty_mask: int

    def mask(self, reading: Reading) -> int:
        return self.scale.mask(int(reading[0]))

    def next_change_ms(self, state: Numbers, reading: Reading, window: Window, first_pane: int) -> int | None:
        mask = self.mask(reading)
        floor = self.scale.floor(int(reading[0]))
        for pane, (total, _) in state.ahead(first_pane):
            # More may have come by then, so that the sum lands on any bound that it falls to or below meanwhile.
            below = floor is not None and (total < floor[0] if floor[1] else total <= floor[0])
            if below or self.scale.mask(total) != mask:
                return window.leaves_at(pane)
        return None

    def headroom(self, reading: Reading) -> int | None:
        ceiling = self.scale.ceiling(int(reading[0]))
        if ceiling is None:
            return None
        bound, included = ceiling
        return int(bound) + included - int(reading[0])


@dataclass(slots=True)
class AverageGauge:
    """Bounds of an average, and of a sum beside it."""

    sums: SumGauge
    averages: BitBounds

    @property
    def empty_mask(self) -> int:
        return self.sums.empty_mask

    def mask(self, reading: Reading) -> int:
        total, count = int(reading[0]), reading[1]
        mask = self.sums.mask(reading)
        if count:
            for bit, bounds in self.averages:
                if all(_HOLDS[op](total, bound * count) for op, bound in bounds):
                    mask |= 1 << bit
        return mask

    def next_change_ms(self, state: Numbers, reading: Reading, window: Window, first_pane: int) -> int | None:
        return _next_change_ms(self, state, reading, window, first_pane)

    def headroom(self, reading: Reading) -> int | None:  # noqa: ARG002
        return 1


@dataclass(slots=True)
class ValueGauge:
    """Bounds of a least, greatest or distinct value; a reading of None, nothing to measure, holds none of them."""

    scale: Scale
    empty_mask: int

    def mask(self, reading: float | None) -> int:
        return 0 if reading is None else self.scale.mask(reading)

    def next_change_ms(self, state: SeriesState, reading: float | None, window: Window, first_pane: int) -> int | None:
        return _next_change_ms(self, state, reading, window, first_pane)

    def headroom(self, reading: float | None) -> int | None:  # noqa: ARG002
        return 1


@dataclass(slots=True)
class NoGauge:
    """For leaves that only computed traits read: no rule puts a bound on them."""

    empty_mask: int = 0

    def mask(self, reading: object) -> int:  # noqa: ARG002
        return 0

    def next_change_ms(self, state: object, reading: object, window: Window, first_pane: int) -> int | None:  # noqa: ARG002
        return None

    def headroom(self, reading: object) -> int | None:  # noqa: ARG002
        return None


def _next_change_ms(gauge: Gauge, state: SeriesState, reading: Any, window: Window, first_pane: int) -> int | None:
    """By looking at every pane that will leave, oldest first."""
    mask = gauge.mask(reading)
    for pane, following in state.ahead(first_pane):
        if gauge.mask(following) != mask:
            return window.leaves_at(pane)
    return None


def micros_bound(bound: int | float) -> int:
    """A bound of a sum or average in millionths. The parser refuses those that are no decimals."""
    micros = to_micros(bound)
    if micros is None:
        raise ValueError(f"{bound} is no bound of a sum")
    return micros
