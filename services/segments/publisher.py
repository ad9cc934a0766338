"""Tells the jobs what was saved: the topics `segments`, `computed-traits` and `profiles.lists` follow the catalog, and
what was deleted is cleared away.

The catalog knows what has not been told, so a crash between saving and telling loses nothing: the next second, or
another replica, tells it. A deleted segment is told as deleted, then by a tombstone; then its memberships go, and its
row last.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from audience.ports.catalog import (
    ComputedTraitCatalog,
    ListCatalog,
    ProfileLists,
    SavedComputedTrait,
    Segment,
    SegmentCatalog,
)
from audience.ports.event_log import EventLog, EventLogUnavailable, LogRecord
from audience.ports.stores import MembershipIndex, StoreUnavailable
from audience.wire.topics import (
    COMPUTED_TRAITS,
    PROFILE_LISTS,
    SEGMENTS,
    ComputedTraitRecord,
    OutstandingBackfill,
    ProfileListsRecord,
    SegmentRecord,
    encode,
    key_of,
)
from services.segments.metrics import SegmentsMetrics

EVERY_S: Final = 1.0
_AT_ONCE: Final = 500
_PROFILES_AT_ONCE: Final = 2_000

log = structlog.stdlib.get_logger(__name__)


class Publisher:
    """Use `run` as a background task, and `wake` after a save."""

    def __init__(
        self,
        catalog: SegmentCatalog,
        computed_traits: ComputedTraitCatalog,
        lists: ListCatalog,
        index: MembershipIndex,
        event_log: EventLog,
        metrics: SegmentsMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._catalog = catalog
        self._computed_traits = computed_traits
        self._lists = lists
        self._index = index
        self._event_log = event_log
        self._metrics = metrics
        self._now_ms = now_ms
        self._wake = asyncio.Event()
        self._failing = False

    def wake(self) -> None:
        """Something was saved: tell it now."""
        self._wake.set()

    async def run(self) -> None:
        """Tell the jobs, until cancelled."""
        while True:
            self._wake.clear()
            await self._attempt()
            try:
                async with asyncio.timeout(EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def publish(self) -> None:
        """Tell all that has not been told. Raises StoreUnavailable, EventLogUnavailable."""
        while True:
            async with self._catalog.publishing(_AT_ONCE) as segments:
                await self._event_log.append([record for segment in segments for record in _records(segment)])
            now_ms = self._now_ms()
            for segment in segments:
                self._metrics.publish_seconds.observe(max(0, now_ms - segment.revised_ms) / 1000)
            self._metrics.published.inc(len(segments))
            if len(segments) < _AT_ONCE:
                return

    async def publish_computed_traits(self) -> None:
        """Tell all computed traits that have not been told. Raises StoreUnavailable, EventLogUnavailable."""
        told = _AT_ONCE
        while told == _AT_ONCE:
            async with self._computed_traits.publishing(_AT_ONCE) as traits:
                await self._event_log.append([record for trait in traits for record in _trait_records(trait)])
            told = len(traits)
            self._metrics.published.inc(told)

    async def publish_lists(self) -> None:
        """Tell of all profiles that were put on lists or taken off. Raises StoreUnavailable, EventLogUnavailable."""
        told = _PROFILES_AT_ONCE
        while told == _PROFILES_AT_ONCE:
            async with self._lists.publishing(_PROFILES_AT_ONCE) as profiles:
                await self._event_log.append(list(map(_lists_record, profiles)))
            told = len(profiles)
            self._metrics.published.inc(told)

    async def remove_leaving(self) -> None:
        """Remove the memberships of deleted segments, then what is left of them. Raises StoreUnavailable."""
        for segment in await self._catalog.leaving():
            forgotten = await self._index.forget_segment(segment.workspace, segment.key)
            await self._catalog.purge(segment)
            log.info("a segment is gone", workspace=segment.workspace, segment=segment.key, memberships=forgotten)

    async def _attempt(self) -> None:
        try:
            await self.publish()
            await self.publish_computed_traits()
            await self.publish_lists()
            await self.remove_leaving()
        except (StoreUnavailable, EventLogUnavailable) as error:
            self._failed(f"{type(error).__name__}: {error}")
        except Exception:
            # A fault of ours. Ending here would leave every later change untold, unseen; so say it, and try again.
            self._failed("a fault")
            log.exception("telling the jobs of segments failed")
        else:
            if self._failing:
                log.info("the jobs are told of segments again")
            self._failing = False

    def _failed(self, why: str) -> None:
        self._metrics.publish_failures.inc()
        if not self._failing:
            log.warning("the jobs cannot be told of segments; trying again", error=why)
        self._failing = True


def _records(segment: Segment) -> list[LogRecord]:
    key = key_of(segment.workspace, segment.key)
    record = SegmentRecord(
        workspace=segment.workspace,
        key=segment.key,
        revision=segment.revision,
        version=segment.version,
        status="deleted" if segment.deleted else segment.status,
        rule=msgspec.Raw(msgspec.json.encode(segment.rule)),
        name=segment.name,
        backfill=None if segment.backfill is None else OutstandingBackfill(segment.backfill, segment.new_leaves),
        born=segment.born,
    )
    told = LogRecord(SEGMENTS, key, encode(record))
    return [told, LogRecord(SEGMENTS, key, None)] if segment.deleted else [told]


def _trait_records(trait: SavedComputedTrait) -> list[LogRecord]:
    key = key_of(trait.workspace, trait.key)
    record = ComputedTraitRecord(
        workspace=trait.workspace,
        key=trait.key,
        revision=trait.revision,
        status="deleted" if trait.deleted else "live",
        definition=msgspec.Raw(msgspec.json.encode(trait.definition)),
    )
    told = LogRecord(COMPUTED_TRAITS, key, encode(record))
    return [told, LogRecord(COMPUTED_TRAITS, key, None)] if trait.deleted else [told]


def _lists_record(profile: ProfileLists) -> LogRecord:
    record = ProfileListsRecord(
        workspace=profile.workspace,
        profile_id=profile.profile_id,
        revision=profile.revision,
        lists=profile.lists,
    )
    return LogRecord(PROFILE_LISTS, key_of(profile.workspace, profile.profile_id), encode(record))
