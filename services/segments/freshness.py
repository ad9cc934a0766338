"""Up to when each live segment has been evaluated, for the API and as a metric, so that a stale one is seen.

The projection tells it of all together. A segment has been evaluated up to then where its definition, as it was saved
last, had reached the job. While the database is away the last that is known stays, and grows old.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from audience.ports.catalog import Segment
from audience.ports.evaluation import EvaluationProgress, Reached
from audience.ports.stores import StoreUnavailable
from services.segments.catalog_copy import CatalogCopy

REFRESH_S: Final = 1.0

log = structlog.stdlib.get_logger(__name__)


class Freshness(Collector):
    """Use `follow` as a background task."""

    def __init__(self, progress: EvaluationProgress, copy: CatalogCopy, now_ms: Callable[[], int]) -> None:
        self._progress = progress
        self._copy = copy
        self._now_ms = now_ms
        self._reached: Reached | None = None
        self._failing = False

    def evaluated_ms(self, segment: Segment) -> int | None:
        """None where it is not live, or has not been evaluated since it was saved last."""
        return self._evaluated_ms(segment.updated_ms) if segment.status == "live" else None

    def _evaluated_ms(self, saved_ms: int) -> int | None:
        reached = self._reached
        return reached.events_ms if reached is not None and saved_ms <= min(reached) else None

    async def follow(self) -> None:
        """Ask again and again, until cancelled."""
        while True:
            await self.attempt()
            await asyncio.sleep(REFRESH_S)

    async def attempt(self) -> None:
        """Ask how far evaluation has come; where that fails, remember and log it."""
        try:
            self._reached = await self._progress.read() or self._reached
        except StoreUnavailable as error:
            if not self._failing:
                log.warning("how far evaluation has come cannot be read; trying again", error=str(error))
            self._failing = True
        except Exception:
            log.exception("reading how far evaluation has come failed")
            self._failing = True
        else:
            self._failing = False

    def collect(self) -> Iterator[Metric]:
        """A gauge for each live segment; of one that has not been evaluated yet, since it was saved."""
        gauge = GaugeMetricFamily(
            "segments_evaluated_age_seconds",
            "For how long a live segment has not been evaluated",
            labels=["workspace", "segment"],
        )
        now_ms = self._now_ms()
        for workspace, key, saved_ms in self._copy.live():
            evaluated_ms = self._evaluated_ms(saved_ms)
            since_ms = saved_ms if evaluated_ms is None else evaluated_ms
            gauge.add_metric([workspace, key], max(0, now_ms - since_ms) / 1000)
        yield gauge

    def register(self, registry: CollectorRegistry) -> Callable[[], None]:
        """Show the gauge; gives what takes it away again."""
        registry.register(self)
        return lambda: registry.unregister(self)
