"""How a process's connections to PostgreSQL are shared among its pools.

Pools are apart so that slow exports never keep a lookup waiting; where connections are few, each gets fewer.
"""

from dataclasses import dataclass
from typing import Final

_FULL: Final = 24


@dataclass(frozen=True, slots=True)
class Shares:
    """The size of each pool; all are 1 or more, and together never more than what there is."""

    catalog: int
    exports: int
    reads: int
    segments: int

    @property
    def total(self) -> int:
        return self.catalog + self.exports + self.reads + self.segments


def shares(connections: int) -> Shares:
    """A third for reads of profiles, a quarter for reads by segment, a sixth for exports, the rest for the catalog."""
    reads, segments = connections * 8 // _FULL, connections * 6 // _FULL
    exports = max(1, connections * 4 // _FULL)
    return Shares(catalog=connections - reads - segments - exports, exports=exports, reads=reads, segments=segments)
