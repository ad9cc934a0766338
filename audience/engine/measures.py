"""What a series keeps of the events of a pattern, for each measure of rules.md.

Every class keeps one item a pane, reads the measure from any pane on, and foretells what it will read as panes leave,
so that the instant of the next change is known. The order in which events are added never matters.
"""

from collections.abc import Iterator
from typing import Any, Final, Protocol, Self

from audience.engine.packing import pack_doubles, pack_signed, pack_unsigned, unpack, unpack_doubles
from audience.engine.panes import Panes
from audience.rules.values import is_number


class SeriesState(Protocol):
    """What a profile keeps for one series."""

    upto: int

    def expire(self, first_pane: int) -> None:
        """Forget the panes before `first_pane`."""

    def reading(self, first_pane: int) -> Any:
        """What the measure reads over the panes from `first_pane` on."""

    def ahead(self, first_pane: int) -> Iterator[tuple[int, Any]]:
        """For each of those panes, oldest first: its number and what is read once it has left."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing left to keep."""

    def pack(self) -> bytes: ...

    @classmethod
    def unpack(cls, data: bytes) -> Self: ...


class Count(Panes):
    """How many events."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []
        self.total = 0

    def add(self, pane: int) -> None:
        self.counts[self._place(pane)] += 1
        self.total += 1

    def reading(self, first_pane: int) -> int:
        index = self.index_of(first_pane)
        return self.total - sum(self.counts[:index]) if index else self.total

    def ahead(self, first_pane: int) -> Iterator[tuple[int, int]]:
        count = self.reading(first_pane)
        index = self.index_of(first_pane)
        for pane, gone in zip(self.numbers()[index:], self.counts[index:], strict=True):
            count -= gone
            yield pane, count

    def pane_that_leaves(self, least: int) -> int:
        """The newest pane with which fewer than `least` events remain once it has left; `least` is from 1 on."""
        pane = self.last
        found = 0
        for gap, count in zip(reversed(self.gaps), reversed(self.counts), strict=True):
            found += count
            if found >= least:
                break
            pane -= gap
        return pane

    def _opened(self, index: int) -> None:
        self.counts.insert(index, 0)

    def _closed(self, count: int) -> None:
        self.total -= sum(self.counts[:count])
        del self.counts[:count]

    def pack(self) -> bytes:
        return self._pack_panes() + pack_unsigned(self.counts)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        state = cls()
        state.counts, _ = unpack(data, state._unpack_panes(data))
        state.total = sum(state.counts)
        return state


class Numbers(Panes):
    """The exact sum of number values in millionths, and how many there were: for `sum` and `avg`."""

    __slots__ = ("count", "counts", "sums", "total")

    def __init__(self) -> None:
        super().__init__()
        self.sums: list[int] = []
        self.counts: list[int] = []
        self.total = 0
        self.count = 0

    def add(self, pane: int, micros: int) -> None:
        index = self._place(pane)
        self.sums[index] += micros
        self.counts[index] += 1
        self.total += micros
        self.count += 1

    def reading(self, first_pane: int) -> tuple[int, int]:
        """The sum and the count."""
        index = self.index_of(first_pane)
        if not index:
            return self.total, self.count
        return self.total - sum(self.sums[:index]), self.count - sum(self.counts[:index])

    def ahead(self, first_pane: int) -> Iterator[tuple[int, tuple[int, int]]]:
        total, count = self.reading(first_pane)
        index = self.index_of(first_pane)
        for pane, micros, gone in zip(self.numbers()[index:], self.sums[index:], self.counts[index:], strict=True):
            total -= micros
            count -= gone
            yield pane, (total, count)

    @property
    def falls(self) -> bool:
        """Whether some pane's sum is negative."""
        return min(self.sums, default=0) < 0

    def _opened(self, index: int) -> None:
        self.sums.insert(index, 0)
        self.counts.insert(index, 0)

    def _closed(self, count: int) -> None:
        self.total -= sum(self.sums[:count])
        self.count -= sum(self.counts[:count])
        del self.sums[:count]
        del self.counts[:count]

    def pack(self) -> bytes:
        # Prices have two places: what all sums are a multiple of is written once.
        unit = _unit_of(self.sums)
        sums = self.sums if unit == 1 else [micros // unit for micros in self.sums]
        return b"".join((self._pack_panes(), pack_unsigned(self.counts), _UNIT_BYTES[unit], pack_signed(sums)))

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        state = cls()
        state.counts, end = unpack(data, state._unpack_panes(data))
        unit = 10 ** data[end]
        sums, _ = unpack(data, end + 1)
        state.sums = sums if unit == 1 else [item * unit for item in sums]
        state.total = sum(state.sums)
        state.count = sum(state.counts)
        return state


_UNITS: Final = (1_000_000, 10_000, 1)
_UNIT_BYTES: Final = {1_000_000: b"\x06", 10_000: b"\x04", 1: b"\x00"}


def _unit_of(sums: list[int]) -> int:
    """The largest of our units that divides every sum: whole ones, hundredths, millionths."""
    for unit in _UNITS:
        for micros in sums:
            if micros % unit:
                break
        else:
            return unit
    return 1


class Extreme(Panes):
    """The least or greatest number value, as a double: for `min` and `max`.

    A pane whose value a later pane beats can never matter again and is dropped, so that values only rise (min) or fall
    (max) from old to new.
    """

    __slots__ = ("values",)
    _sign: float = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []

    def add(self, pane: int, found: Any, at: object) -> None:  # noqa: ARG002
        if not is_number(found):
            return
        value = self._sign * float(found)
        values = self.values
        if values and pane <= self.last:
            if values[-1] <= value:
                return
            numbers = self.numbers()
            later = sum(1 for number in numbers if number > pane)
            if later and values[-later] <= value:
                return
        index = self._place(pane)
        values[index] = min(values[index], value)
        self._drop_beaten(index)

    def _drop_beaten(self, index: int) -> None:
        """Forget the panes before `index` that its value beats."""
        start = index
        while start and self.values[start - 1] >= self.values[index]:
            start -= 1
        if start == index:
            return
        if start == 0:
            self.first += sum(self.gaps[1 : index + 1])
            del self.values[:index], self.gaps[:index]
            self.gaps[0] = 0
        else:
            self.gaps[index] += sum(self.gaps[start:index])
            del self.values[start:index], self.gaps[start:index]

    def reading(self, first_pane: int) -> float | None:
        index = self.index_of(first_pane)
        return self._sign * self.values[index] if index < len(self.values) else None

    def ahead(self, first_pane: int) -> Iterator[tuple[int, float | None]]:
        index = self.index_of(first_pane)
        following = [self._sign * value for value in self.values[index + 1 :]]
        return zip(self.numbers()[index:], [*following, None], strict=False)

    def _opened(self, index: int) -> None:
        self.values.insert(index, float("inf"))

    def _closed(self, count: int) -> None:
        del self.values[:count]

    def pack(self) -> bytes:
        return self._pack_panes() + pack_doubles(self.values)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        state = cls()
        state.values = unpack_doubles(data, state._unpack_panes(data))
        return state


class Least(Extreme):
    """For `min`."""

    __slots__ = ()


class Greatest(Extreme):
    """For `max`: the least of the negatives."""

    __slots__ = ()
    _sign = -1.0
