"""What a series keeps of the values that it met: for `distinct`, and for the measures that only computed traits have.

Values are JSON; they are packed as JSON too, since they are few and of every kind.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, Self

from audience.engine.decimals import json_number
from audience.rules.values import scalar_key

MOST_DISTINCT: Final = 1_000
"""How many different values a series tells apart; beyond them those longest unseen are forgotten."""

LONGEST_UNIQUE_LIST: Final = 100
"""How many values a `unique_list` shows: the smallest."""

Occurrence = tuple[int, str, str]
"""An event's time, message id and source: what tells it from every other, whatever came first."""


def _plain(value: Any) -> Any:
    """A scalar key as JSON has it; `_key` reads it back."""
    return list(value) if isinstance(value, tuple) else value


def _key(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def shown(key: object) -> Any:
    """The JSON value that a scalar key stands for; whole numbers as integers."""
    match key:
        case (bool() as value,):
            return value
        case float():
            return json_number(key)
        case _:
            return key


def in_order(key: object) -> tuple[int, Any]:
    """The order of `unique_list`: booleans, then numbers, then strings, each in its own."""
    match key:
        case (bool() as value,):
            return (0, value)
        case float():
            return (1, key)
        case _:
            return (2, key)


def earlier(one: Occurrence, other: Occurrence) -> bool:
    """Whether `one` comes before `other`; of two at one time the one with the larger message id (and then source) is
    taken for both the first and the last (rules.md, "Traits")."""
    return one[0] < other[0] or (one[0] == other[0] and one[1:] > other[1:])


class _ByPane:
    """What is kept for each pane, in a dictionary: few panes, rarely asked."""

    __slots__ = ("panes", "upto")

    def __init__(self) -> None:
        self.panes: dict[int, Any] = {}
        self.upto = 0

    def expire(self, first_pane: int) -> None:
        for pane in [pane for pane in self.panes if pane < first_pane]:
            del self.panes[pane]

    @property
    def empty(self) -> bool:
        return not self.panes

    def reading(self, first_pane: int) -> Any:
        raise NotImplementedError

    def ahead(self, first_pane: int) -> Iterator[tuple[int, Any]]:
        for pane in sorted(pane for pane in self.panes if pane >= first_pane):
            yield pane, self.reading(pane + 1)


class Distinct:
    """The different values, each with the newest pane it was seen in; exact up to MOST_DISTINCT of them."""

    __slots__ = ("seen", "upto")

    def __init__(self) -> None:
        self.seen: dict[object, int] = {}
        self.upto = 0

    def add(self, pane: int, found: Any, at: Occurrence) -> None:  # noqa: ARG002
        key = scalar_key(found)
        if key is None:
            return
        seen = self.seen
        known = seen.get(key)
        if known is not None:
            seen[key] = max(pane, known)
            return
        if len(seen) >= MOST_DISTINCT:
            oldest = min(seen, key=seen.__getitem__)
            if seen[oldest] >= pane:
                return
            del seen[oldest]
        seen[key] = pane

    def expire(self, first_pane: int) -> None:
        for key in [key for key, pane in self.seen.items() if pane < first_pane]:
            del self.seen[key]

    @property
    def empty(self) -> bool:
        return not self.seen

    def reading(self, first_pane: int) -> int:
        return sum(pane >= first_pane for pane in self.seen.values())

    def ahead(self, first_pane: int) -> Iterator[tuple[int, int]]:
        panes = sorted(pane for pane in self.seen.values() if pane >= first_pane)
        for index, pane in enumerate(panes, 1):
            if index == len(panes) or panes[index] != pane:
                yield pane, len(panes) - index

    def unique_list(self, first_pane: int) -> list[Any]:
        """Up to LONGEST_UNIQUE_LIST values, the smallest, in order."""
        values = sorted((key for key, pane in self.seen.items() if pane >= first_pane), key=in_order)
        return [shown(key) for key in values[:LONGEST_UNIQUE_LIST]]

    def pack(self) -> bytes:
        return json.dumps([[_plain(key), pane] for key, pane in self.seen.items()]).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        state = cls()
        state.seen = {_key(key): pane for key, pane in json.loads(data)}
        return state


class _Ends(_ByPane):
    """The first or last value of each pane."""

    __slots__ = ()

    def add(self, pane: int, found: Any, at: Occurrence) -> None:
        if found is None:
            return
        known = self.panes.get(pane)
        if known is None or self._replaces(at, known[0]):
            self.panes[pane] = (at, found)

    def _replaces(self, new: Occurrence, known: Occurrence) -> bool:
        raise NotImplementedError

    def pack(self) -> bytes:
        return json.dumps(list(self.panes.items())).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        state = cls()
        state.panes = {pane: (tuple(at), found) for pane, (at, found) in json.loads(data)}
        return state


class First(_Ends):
    """For `first`: panes leave from the old end, so that each pane's first may come to be the first."""

    __slots__ = ()

    def _replaces(self, new: Occurrence, known: Occurrence) -> bool:
        return earlier(new, known)

    def reading(self, first_pane: int) -> Any:
        inside = [pane for pane in self.panes if pane >= first_pane]
        return self.panes[min(inside)][1] if inside else None


class Last(_Ends):
    """For `last`: nothing older than the last can matter."""

    __slots__ = ()

    def add(self, pane: int, found: Any, at: Occurrence) -> None:
        super().add(pane, found, at)
        self.expire(max(self.panes, default=0))

    def _replaces(self, new: Occurrence, known: Occurrence) -> bool:
        return new > known

    def reading(self, first_pane: int) -> Any:
        return next((kept[1] for pane, kept in self.panes.items() if pane >= first_pane), None)


class Frequencies(_ByPane):
    """How often each value came in each pane, and when first: for `most_frequent`."""

    __slots__ = ()

    def add(self, pane: int, found: Any, at: Occurrence) -> None:
        key = scalar_key(found)
        if key is None:
            return
        values = self.panes.setdefault(pane, {})
        count, first = values.get(key, (0, at))
        if count or len(values) < MOST_DISTINCT:
            values[key] = (count + 1, at if earlier(at, first) else first)

    def reading(self, first_pane: int) -> Any:
        """The value met most often, of equals the one seen first."""
        totals: dict[object, tuple[int, Occurrence]] = {}
        for pane, values in self.panes.items():
            if pane >= first_pane:
                for key, (count, first) in values.items():
                    known, known_first = totals.get(key, (0, first))
                    totals[key] = (known + count, first if earlier(first, known_first) else known_first)
        best: object = None
        for key, (count, first) in totals.items():
            if (
                best is None
                or count > totals[best][0]
                or (count == totals[best][0] and earlier(first, totals[best][1]))
            ):
                best = key
        return shown(best)

    def pack(self) -> bytes:
        kept = [[pane, [[_plain(key), *seen] for key, seen in values.items()]] for pane, values in self.panes.items()]
        return json.dumps(kept).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        state = cls()
        for pane, values in json.loads(data):
            state.panes[pane] = {_key(key): (count, tuple(first)) for key, count, first in values}
        return state
