"""One store's loop: read a batch, write it until the store has it, only then commit.

Nothing is kept but in Kafka: a crash at any point repeats at most a batch, and writing it again changes nothing. While
the store is away the loop waits and tries, for ever, keeps its place in the consumer group, and says so (`check`).
Refuses to be stopped by a record: what cannot be decoded, or what the store will never take, goes to `events.bad`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential, wait_random

from audience.adapters.kafka.consumer import Record
from audience.ports.event_log import EventLog, EventLogUnavailable
from audience.ports.stores import RecordRefused, StoreUnavailable
from services.projection.batch import UNDECODABLE, UNSTORABLE, Batch, Item, bad_record, read_batch
from services.projection.metrics import ProjectionMetrics

POLL_S: Final = 0.5
"""How long the thread of a consumer waits for a first record before it looks at what else there is to do."""

LAG_EVERY_S: Final = 5.0
_RETRY_FIRST_S: Final = 0.05
_LOG_EVERY: Final = 20

log = structlog.stdlib.get_logger(__name__)
T = TypeVar("T")


def _may_pass(error: BaseException) -> bool:
    """Whether trying again may help. Not where the store refused, nor where the task is to end."""
    return isinstance(error, Exception) and not isinstance(error, RecordRefused)


class Sink(Protocol):
    """A store, as far as the projection knows it."""

    async def put_many(self, profiles: Sequence[Any]) -> int: ...
    async def check(self) -> None: ...


class Records(Protocol):
    """The topic, as a member of a consumer group reads it (`audience.adapters.kafka.consumer.BatchConsumer`)."""

    async def poll(self, max_records: int, wait_s: float) -> list[Record]: ...
    async def hold(self, for_s: float) -> None: ...
    async def commit(self, records: Sequence[Record]) -> None: ...
    async def lag(self) -> int: ...


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """How a loop works. `reports_bad`: of the loops over one topic, one reports what cannot be decoded.

    `read` makes of records what the store takes.
    """

    name: str
    batch_records: int
    retry_max_s: float
    reports_bad: bool
    read: Callable[[Sequence[Record]], Batch] = read_batch


class SinkLoop:
    """Use `run` as a background task."""

    def __init__(
        self, options: SinkOptions, records: Records, sink: Sink, event_log: EventLog, metrics: ProjectionMetrics
    ) -> None:
        self._options = options
        self._records = records
        self._sink = sink
        self._event_log = event_log
        self._metrics = metrics
        self._away_since_s: float | None = None
        self._fault = ""
        self._lag_at_s = 0.0
        metrics.available.labels(options.name).set(1)

    async def check(self) -> None:
        """Return while the store takes writes; raise StoreUnavailable otherwise, with since when and why."""
        if self._away_since_s is not None:
            raise StoreUnavailable(f"away for {time.monotonic() - self._away_since_s:.0f} s: {self._fault}")
        await self._sink.check()

    async def run(self) -> None:
        """Project, until cancelled."""
        while True:
            records = await self._persistently(self._read)
            await self._measure_lag()
            if records:
                await self.project(records)

    async def project(self, records: Sequence[Record]) -> None:
        """One batch."""
        # Step 1: what is in it.
        batch = self._options.read(records)
        # Step 2: keep what cannot be decoded where it can be looked at and replayed.
        await self._set_aside([(record, UNDECODABLE, why) for record, why in batch.bad])
        # Step 3: write, for as long as it takes.
        refused = await self._write(batch.items)
        # Step 4: keep what the store will never take.
        await self._set_aside([(item.record, UNSTORABLE, why) for item, why in refused])
        # Step 5: all of it is somewhere, so the group need not read it again.
        await self._persistently(lambda: self._records.commit(records))
        self._count(batch, len(records), len(refused))

    async def _read(self) -> list[Record]:
        return await self._records.poll(self._options.batch_records, POLL_S)

    async def _write(self, items: Sequence[Item]) -> list[tuple[Item, str]]:
        """Write them all but those that the store refuses, which are found by halving and given back."""
        if not items:
            return []
        try:
            await self._persistently(lambda: self._put(items))
        except RecordRefused as error:
            if len(items) == 1:
                return [(items[0], str(error))]
            middle = len(items) // 2
            return [*await self._write(items[:middle]), *await self._write(items[middle:])]
        return []

    async def _put(self, items: Sequence[Item]) -> None:
        with self._metrics.write_seconds.labels(self._options.name).time():
            written = await self._sink.put_many([item.profile for item in items])
        oldest_ms = min(item.record.timestamp_ms for item in items)
        self._metrics.delay_seconds.labels(self._options.name).observe(max(0.0, time.time() - oldest_ms / 1000))
        changed_ms = min(item.since_ms for item in items)
        self._metrics.evaluated_seconds.labels(self._options.name).observe(max(0.0, time.time() - changed_ms / 1000))
        count = self._metrics.records.labels
        count(self._options.name, "written").inc(written)
        count(self._options.name, "stale").inc(len(items) - written)

    async def _set_aside(self, bad: Sequence[tuple[Record, str, str]]) -> None:
        if not bad or not self._options.reports_bad:
            return
        now_ms = time.time_ns() // 1_000_000
        kept = [bad_record(record, code, why, now_ms) for record, code, why in bad]
        await self._persistently(lambda: self._event_log.append(kept))
        for record, code, why in bad:
            log.warning(
                "a record was set aside", code=code, partition=record.partition, offset=record.offset, reason=why
            )

    def _count(self, batch: Batch, records: int, refused: int) -> None:
        name, count = self._options.name, self._metrics.records.labels
        self._metrics.batch_records.labels(name).observe(records)
        for outcome, number in (
            ("stale", batch.stale),
            ("tombstone", batch.tombstones),
            (UNDECODABLE, len(batch.bad)),
            (UNSTORABLE, refused),
        ):
            if number:
                count(name, outcome).inc(number)

    async def _persistently(self, action: Callable[[], Awaitable[T]]) -> T:
        """Do it, again and again while it fails; a refusal alone is final.

        A fault of ours is tried again as well: going on would lose the batch, and a new release can go on from here.
        """
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_exponential(multiplier=_RETRY_FIRST_S, max=self._options.retry_max_s)
            + wait_random(0, _RETRY_FIRST_S),
            before_sleep=self._note_failure,
            sleep=self._wait,
            reraise=True,
        ):
            with attempt:
                result = await action()
                self._note_success()
                return result
        raise AssertionError("tenacity gives the result or raises")

    async def _wait(self, for_s: float) -> None:
        """Wait without leaving the consumer group; where Kafka is what is away, just wait."""
        until_s = time.monotonic() + for_s
        try:
            await self._records.hold(for_s)
        except EventLogUnavailable as error:
            log.info("Kafka is away as well", sink=self._options.name, error=str(error))
        await asyncio.sleep(max(0.0, until_s - time.monotonic()))
        await self._measure_lag()

    def _note_failure(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._metrics.failures.labels(self._options.name).inc()
        self._metrics.available.labels(self._options.name).set(0)
        self._fault = f"{type(error).__name__}: {error}"
        if self._away_since_s is None:
            self._away_since_s = time.monotonic()
        if state.attempt_number % _LOG_EVERY == 1:
            known = isinstance(error, StoreUnavailable | EventLogUnavailable)
            log.warning(
                "cannot go on; trying again",
                sink=self._options.name,
                attempt=state.attempt_number,
                error=self._fault,
                exc_info=None if known else error,
            )

    def _note_success(self) -> None:
        if self._away_since_s is not None:
            away_s = time.monotonic() - self._away_since_s
            self._away_since_s, self._fault = None, ""
            self._metrics.available.labels(self._options.name).set(1)
            log.info("going on", sink=self._options.name, after_s=round(away_s, 1))

    async def _measure_lag(self) -> None:
        now_s = time.monotonic()
        if now_s - self._lag_at_s >= LAG_EVERY_S:
            self._lag_at_s = now_s
            try:
                self._metrics.lag.labels(self._options.name).set(await self._records.lag())
            except EventLogUnavailable as error:
                log.warning("the lag is not known", sink=self._options.name, error=str(error))
