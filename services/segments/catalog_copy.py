"""Which segments are evaluated now, in memory: a copy of the catalog, never older than about a second.

Reads show a membership only where its segment is live or paused, so this is looked at on the hottest path. Where the
catalog is away the copy goes on serving, and readiness says so.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import structlog

from audience.ports.catalog import EvaluatedSegments, SegmentCatalog
from audience.ports.stores import StoreUnavailable
from services._kit.health import Degraded
from services.segments.metrics import SegmentsMetrics

REFRESH_S: Final = 0.8

_NONE: Final[frozenset[str]] = frozenset()
log = structlog.stdlib.get_logger(__name__)


class CatalogCopy:
    """The live and paused segments. `clock_s` is a monotonic clock."""

    def __init__(self, catalog: SegmentCatalog, metrics: SegmentsMetrics, clock_s: Callable[[], float]) -> None:
        self._catalog = catalog
        self._metrics = metrics
        self._clock_s = clock_s
        self._mark: object = None
        self._segments: Mapping[str, EvaluatedSegments] | None = None
        self._read_s = 0.0
        self._fault = ""

    def evaluated(self, workspace: str) -> frozenset[str]:
        """The keys of a workspace. Raises StoreUnavailable before the first copy is there."""
        if self._segments is None:
            raise StoreUnavailable("the catalog of segments has not been read yet")
        found = self._segments.get(workspace)
        return _NONE if found is None else found.keys

    def live(self) -> Iterator[tuple[str, str, int]]:
        """Workspace and key of each live segment, and when it was saved last (Unix milliseconds)."""
        for workspace, found in (self._segments or {}).items():
            for key, saved_ms in found.live.items():
                yield workspace, key, saved_ms

    async def refresh(self) -> None:
        """Read what changed. Raises StoreUnavailable, and keeps the copy then."""
        changed = await self._catalog.evaluated(self._mark)
        if changed is not None:
            self._mark, self._segments = changed
        self._read_s = self._clock_s()

    async def follow(self) -> None:
        """Read the catalog again and again, until cancelled."""
        while True:
            await self.attempt()
            await asyncio.sleep(REFRESH_S)

    async def attempt(self) -> None:
        """Read the catalog; where that fails, remember and log why, and keep the copy."""
        try:
            await self.refresh()
        except StoreUnavailable as error:
            if not self._fault:
                log.warning("the catalog of segments is away", error=str(error), serving=self._segments is not None)
            self._fault = str(error) or type(error).__name__
        except Exception as error:
            self._fault = f"{type(error).__name__}: {error}"
            log.exception("reading the catalog of segments failed")
        else:
            if self._fault:
                log.info("the catalog of segments is back")
            self._fault = ""
        self._metrics.catalog_age_seconds.set(0 if self._segments is None else self._clock_s() - self._read_s)

    async def check(self) -> None:
        """Raise Degraded while an old copy serves, StoreUnavailable while there is none."""
        if self._segments is None:
            raise StoreUnavailable(self._fault or "the catalog of segments has not been read yet")
        if self._fault:
            raise Degraded(f"serving the catalog of {self._clock_s() - self._read_s:.0f} s ago: {self._fault}")
