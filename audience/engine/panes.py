"""Which panes a series has something in, oldest first: a base class for what series keep.

A pane is a step of a window (rules.md). A series without windows keeps one pane, number 0, that never leaves. Panes are
stored as distances, so that they pack into a byte or two each. Subclasses keep one item a pane beside them.
"""

import struct
from bisect import bisect_left
from itertools import accumulate
from typing import Final

from audience.engine.packing import pack_unsigned, unpack

_HEAD: Final = struct.Struct("<Iq")


class Panes:
    """`first` and `last` are pane numbers; `gaps[i]` is the distance from pane i-1 to pane i, and `gaps[0]` is 0."""

    __slots__ = ("first", "gaps", "last", "upto")

    def __init__(self) -> None:
        self.upto = 0
        """The number of the trail's last event that was taken in."""
        self.first = 0
        self.last = 0
        self.gaps: list[int] = []

    def numbers(self) -> list[int]:
        """The pane numbers, oldest first."""
        return list(accumulate(self.gaps, initial=self.first))[1:]

    def index_of(self, first_pane: int) -> int:
        """The index of the oldest pane from `first_pane` on."""
        if not self.gaps or first_pane <= self.first:
            return 0
        if first_pane > self.last:
            return len(self.gaps)
        return bisect_left(self.numbers(), first_pane)

    @property
    def empty(self) -> bool:
        return not self.gaps

    def _place(self, pane: int) -> int:
        """The index of `pane`, which is made where it was not: see `_opened`."""
        gaps = self.gaps
        if not gaps:
            self.first = self.last = pane
            gaps.append(0)
            self._opened(0)
        elif pane > self.last:
            gaps.append(pane - self.last)
            self.last = pane
            self._opened(len(gaps) - 1)
        elif pane < self.last:
            return self._place_late(pane)
        return len(gaps) - 1

    def _place_late(self, pane: int) -> int:
        gaps = self.gaps
        if pane < self.first:
            gaps[0] = self.first - pane
            gaps.insert(0, 0)
            self.first = pane
            self._opened(0)
            return 0
        numbers = self.numbers()
        index = bisect_left(numbers, pane)
        if numbers[index] != pane:
            gaps[index] = numbers[index] - pane
            gaps.insert(index, pane - numbers[index - 1])
            self._opened(index)
        return index

    def expire(self, first_pane: int) -> None:
        """Forget the panes before `first_pane`."""
        gaps = self.gaps
        if not gaps or self.first >= first_pane:
            return
        if self.last < first_pane:
            self._closed(len(gaps))
            gaps.clear()
            return
        gone = 0
        first = self.first
        while first < first_pane:
            gone += 1
            first += gaps[gone]
        self._closed(gone)
        del gaps[:gone]
        gaps[0] = 0
        self.first = first

    def _opened(self, index: int) -> None:
        """A pane has appeared at `index`: make its item."""
        raise NotImplementedError

    def _closed(self, count: int) -> None:
        """The `count` oldest panes have gone: forget their items."""
        raise NotImplementedError

    def _pack_panes(self) -> bytes:
        return _HEAD.pack(self.upto, self.first) + pack_unsigned(self.gaps)

    def _unpack_panes(self, data: bytes) -> int:
        """Read what `_pack_panes` wrote; gives where it ends."""
        self.upto, self.first = _HEAD.unpack_from(data)
        self.gaps, end = unpack(data, _HEAD.size)
        self.last = self.first + sum(self.gaps)
        return end
