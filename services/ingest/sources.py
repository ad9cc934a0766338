"""The write keys that open this service: a copy of the catalog in memory, read anew every few seconds.

Where the catalog is away the copy goes on serving, and readiness says so. Refuses to judge a key before the first
copy is there: a wrong 401 would make an SDK throw its events away.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Final

import structlog

from audience.ports.catalog import Source, SourceCatalog
from audience.ports.stores import StoreUnavailable
from services._kit.health import Degraded
from services.ingest.metrics import IngestMetrics

READ_TIMEOUT_S: Final = 5.0

log = structlog.stdlib.get_logger(__name__)


class SourcesUnknown(Exception):
    """The catalog has not been read yet, so nothing is known about any key."""


class Sources:
    """The sources by write key. `clock_s` is a monotonic clock; a key that is `barred` is not known, stored or not."""

    def __init__(
        self,
        catalog: SourceCatalog,
        refresh_s: float,
        metrics: IngestMetrics,
        clock_s: Callable[[], float],
        barred: Collection[str] = (),
    ) -> None:
        self._barred = barred
        self._catalog = catalog
        self._refresh_s = refresh_s
        self._metrics = metrics
        self._clock_s = clock_s
        self._by_key: Mapping[str, Source] | None = None
        self._read_s = 0.0
        self._fault = ""

    def find(self, write_key: str) -> Source | None:
        """The source of a key; None for an unknown one. Raises SourcesUnknown."""
        if self._by_key is None:
            raise SourcesUnknown
        return self._by_key.get(write_key)

    async def refresh(self) -> None:
        """Read the catalog. Raises StoreUnavailable, and keeps the copy then."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                sources = await self._catalog.sources()
        except TimeoutError as error:
            raise StoreUnavailable(f"the sources could not be read within {READ_TIMEOUT_S:g} s") from error
        self._by_key = {source.write_key: source for source in sources if source.write_key not in self._barred}
        self._read_s = self._clock_s()
        self._metrics.sources.set(len(self._by_key))

    async def follow(self) -> None:
        """Read the catalog again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._refresh_s)
            await self.attempt()

    async def attempt(self) -> None:
        """Read the catalog; where that fails, remember and log why, and keep the copy."""
        try:
            await self.refresh()
        except StoreUnavailable as error:
            if not self._fault:
                log.warning("the catalog of sources is away", error=str(error), serving=self._by_key is not None)
            self._fault = str(error) or type(error).__name__
        except Exception as error:
            # A fault of ours. Giving up here would keep revoked keys alive, unseen; so say it, and try again.
            self._fault = f"{type(error).__name__}: {error}"
            log.exception("reading the sources failed")
        else:
            if self._fault:
                log.info("the catalog of sources is back")
            self._fault = ""
        self._metrics.sources_age_seconds.set(0 if self._by_key is None else self._clock_s() - self._read_s)

    async def check(self) -> None:
        """Raise Degraded while an old copy serves, StoreUnavailable while there is none."""
        if self._by_key is None:
            raise StoreUnavailable(self._fault or "the sources have not been read yet")
        if self._fault:
            raise Degraded(f"serving the sources of {self._clock_s() - self._read_s:.0f} s ago: {self._fault}")
