"""What segments have in common, by roaring bitmaps of their members' numbers (docs/adr/0012-overlaps.md).

A bitmap is read from the index once, and brought up to date by the changes since: both in one snapshot for all that are
asked for, so that the answer is of one instant. It is read anew where its cardinality is not the segment's size in that
snapshot. That makes it exact also where a segment was deleted and made again, whose old members nobody saw exit: the
set then holds every right number, so it is right when it is as large. Refuses to keep more than `MOST_KEPT` bitmaps;
the one that was not asked for the longest goes first.
"""

import asyncio
import sys
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from pyroaring import BitMap64

from audience.adapters.postgres.pool import Connection, Pool
from audience.ports.memberships import Overlap

MOST_KEPT: Final = 500
_MOST_CHANGES: Final = 50_000
"""Beyond so many changes reading the members anew is quicker."""

_SIZE: Final = "SELECT size, forgotten_seq FROM segment_sizes WHERE workspace = $1 AND segment_key = $2"
_SINCE: Final = """
    SELECT seq, number, entered FROM membership_changes
    WHERE workspace = $1 AND segment_key = $2 AND seq > $3 ORDER BY seq LIMIT $4
"""
_LAST: Final = "SELECT max(seq) FROM membership_changes WHERE workspace = $1 AND segment_key = $2"
_ALL: Final = """
    SELECT string_agg(int8send(number), '') FROM memberships WHERE workspace = $1 AND segment_key = $2
"""


@dataclass(slots=True)
class _Kept:
    """The members as of the change `seq`."""

    seq: int
    members: BitMap64


class Bitmaps:
    """The bitmaps of one process."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()

    async def overlap(self, workspace: str, segments: Sequence[str]) -> Overlap:
        """Of segments that are all different. Raises StoreUnavailable."""
        async with self._one_at_a_time, self._pool.transaction(isolation="repeatable_read") as connection:
            members = {key: await self._current(connection, workspace, key) for key in segments}
            return Overlap(
                sizes={key: len(each) for key, each in members.items()},
                intersections=_intersections(members),
                union=len(BitMap64.union(BitMap64(), *members.values())),
            )

    async def _current(self, connection: Connection, workspace: str, segment: str) -> BitMap64:
        """The members in this snapshot."""
        size, forgotten_seq = await connection.fetchrow(_SIZE, workspace, segment) or (0, 0)
        kept = self._kept.pop((workspace, segment), None)
        if kept is None or kept.seq < forgotten_seq or not await _follow(connection, workspace, segment, kept, size):
            kept = _Kept(await connection.fetchval(_LAST, workspace, segment) or 0, BitMap64())
            numbers = array("Q", await connection.fetchval(_ALL, workspace, segment) or b"")
            if sys.byteorder == "little":
                numbers.byteswap()
            kept.members = BitMap64(numbers)
        self._kept[workspace, segment] = kept
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return kept.members


async def _follow(connection: Connection, workspace: str, segment: str, kept: _Kept, size: int) -> bool:
    """Apply the changes since; whether the bitmap is right then."""
    changes = await connection.fetch(_SINCE, workspace, segment, kept.seq, _MOST_CHANGES + 1)
    if len(changes) > _MOST_CHANGES:
        return False
    for seq, number, entered in changes:
        (kept.members.add if entered else kept.members.discard)(number)
        kept.seq = seq
    return len(kept.members) == size


def _intersections(members: dict[str, BitMap64]) -> dict[tuple[str, ...], int]:
    """Of every two and more of them, the smaller groups first. What a group shares is made of a smaller group's."""
    shared: dict[tuple[str, ...], BitMap64] = {(key,): each for key, each in members.items()}
    found = {}
    for count in range(2, len(members) + 1):
        for group in combinations(members, count):
            shared[group] = shared[group[:-1]] & members[group[-1]]
            found[group] = len(shared[group])
    return found
