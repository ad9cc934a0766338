"""An event log that takes records while Kafka is away: into a spool on disk, which drains in order when it is back.

Two states. *Direct*: records go to Kafka, and `append` returns on its acknowledgement. *Spooling*, from the first
append that Kafka did not acknowledge within `patience_s`, and where a start finds records in the spool: they go to the
disk, and `append` returns when they are there. Meanwhile the spool is drained from its head. Direct again only when
nothing is left in it, so nothing overtakes what was acknowledged before it. For the last stretch new records wait a
moment; otherwise a steady load would keep the spool from ever becoming empty.

What Kafka has not acknowledged in time stays with its client too, which never gives it up: an idempotent producer
writes it once, however long the broker is away. Its row in the spool, which is there in case this process dies, is
not sent again but waits for that. Where the client is gone, with its process or by a fault, nobody knows which rows it
had written: they are looked for in Kafka, and what is there is not sent again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence, Set
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from audience.adapters.sqlite.spool import Row, Spool, SpoolUnusable, left_over
from audience.ports.event_log import EventLogUnavailable, LogRecord

PATIENCE_S: Final = 2.0
_PROBE_S: Final = 0.25
AT_ONCE: Final = 1_000
"""So many records are drained at once. Fewer are the last stretch."""
_LAST_STRETCH_S: Final = 1.0
_CLOSE_S: Final = 5.0
"""So long the end waits for the spool to drain. What is left waits on the disk for the next start."""

_LEFT_OVER_S: Final = 30.0
_CLOCKS_MS: Final = 10_000
"""The clocks of machines that have written to one spool differ by less."""

log = logging.getLogger(__name__)


class SendingLog(Protocol):
    """What is needed of the log behind: `audience.adapters.kafka.producer.KafkaEventLog`, opened `tireless`."""

    def send(self, records: Sequence[LogRecord]) -> "asyncio.Future[None]":
        """Hand records over. Raises EventLogUnavailable, and so does the future."""

    async def find(self, since_ms: int, wanted: Set[int]) -> Set[int]:
        """The hashes of those records, of these, that it has since then. Raises EventLogUnavailable."""

    async def check(self) -> None:
        """Return when the log answers; raise EventLogUnavailable otherwise."""


class SpoolingEventLog:
    """Implements `audience.ports.event_log.EventLog`, for one event loop. Use `open_spooling`."""

    def __init__(self, log_behind: SendingLog, spool: Spool, patience_s: float) -> None:
        self._log = log_behind
        self._spool = spool
        self._patience_s = patience_s
        self._under_way: dict[int, asyncio.Future[None]] = {}
        """What Kafka's client has of the spool's rows: their deliveries."""
        self._unsure = bool(spool.records)
        """Whether a client that is gone may have written rows that are still here."""
        self._written: Set[int] = frozenset()
        """The hashes of those records that it had."""
        self._spooling = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._direct = asyncio.Event()
        if spool.records:
            self._spooling.set()
        else:
            self._direct.set()
        self._draining = asyncio.create_task(self._drain(), name="spool")

    async def append(self, records: Sequence[LogRecord]) -> None:
        """Append all; records with one key keep their order. Raises EventLogUnavailable."""
        if not records:
            return
        while not self._open.is_set():
            await self._open.wait()
        if self._spooling.is_set():
            await self._spool.put(records)
            return
        try:
            sent = self._log.send(records)
        except EventLogUnavailable as error:
            self._begin(str(error))
            await self._spool.put(records)
            return
        await asyncio.wait((sent,), timeout=self._patience_s)
        if sent.done() and sent.exception() is None:
            return
        self._begin("the records were not acknowledged in time" if not sent.done() else str(sent.exception()))
        sent.add_done_callback(_look)
        row_id = await self._spool.put(records)
        self._under_way[row_id] = sent

    async def check(self) -> None:
        """Return when the log behind answers; raise EventLogUnavailable otherwise."""
        await self._log.check()

    def _begin(self, why: str) -> None:
        if not self._spooling.is_set():
            log.warning("Kafka is away, records go to the spool: %s", why)
            self._spooling.set()
            self._direct.clear()

    async def _drain(self) -> None:
        while True:
            await self._spooling.wait()
            try:
                await self._log.check()
                await self._some()
            except EventLogUnavailable as error:
                log.debug("the spool waits: %s", error)
                await asyncio.sleep(_PROBE_S)
            except Exception:
                log.exception("draining the spool failed; it is tried again")
                await asyncio.sleep(_PROBE_S)

    async def _recognise(self) -> None:
        """Find out which records of the spool are in Kafka. Raises EventLogUnavailable."""
        since_ms = self._spool.oldest_ms - int(self._patience_s * 1000) - _CLOCKS_MS
        try:
            self._written = await self._log.find(since_ms, await self._spool.hashes())
        except EventLogUnavailable as error:
            log.warning("the spool waits, since Kafka does not tell what it has of it: %s", error)
            raise
        log.info("%d of the spool's %d records are in Kafka", len(self._written), self._spool.records)
        self._unsure = False

    async def _some(self) -> None:
        """Drain as much as is read at once; where that is all, end the spooling. Raises EventLogUnavailable."""
        await self._deliver(await self._spool.head(AT_ONCE))
        if self._spool.records > AT_ONCE:
            return
        self._open.clear()
        try:
            async with asyncio.timeout(_LAST_STRETCH_S):
                while self._spool.records:
                    await self._deliver(await self._spool.head(AT_ONCE))
            self._under_way.clear()
            self._written = frozenset()
            self._spooling.clear()
            self._direct.set()
            log.info("the spool is empty, records go to Kafka directly")
        except TimeoutError as error:
            raise EventLogUnavailable("the last stretch took too long") from error
        finally:
            self._open.set()

    async def _deliver(self, rows: Sequence[Row]) -> None:
        """Have the rows in Kafka, and out of the spool. Raises EventLogUnavailable; what was delivered is out then."""
        if not rows:
            return
        failed = [row.id for row in rows if (sent := self._under_way.get(row.id)) and sent.done() and sent.exception()]
        if failed or self._unsure:
            await self._recognise()
        for row_id in failed:
            del self._under_way[row_id]
        for row in rows:
            if row.id not in self._under_way:
                self._under_way[row.id] = self._send(row)
        try:
            await asyncio.wait([self._under_way[row.id] for row in rows])
        finally:
            await asyncio.shield(self._remove_delivered(row.id for row in rows))
        for row in rows:
            if (sent := self._under_way.get(row.id)) is not None and (fault := sent.exception()) is not None:
                raise fault

    def _send(self, row: Row) -> "asyncio.Future[None]":
        records = [each for each in row.records if hash(each) not in self._written]
        if records:
            return self._log.send(records)
        sent = asyncio.get_running_loop().create_future()
        sent.set_result(None)
        return sent

    async def _remove_delivered(self, row_ids: Iterable[int]) -> None:
        """Take the first rows out, up to one that is not in Kafka yet."""
        last_id = 0
        for row_id in row_ids:
            sent = self._under_way.get(row_id)
            if sent is None or not sent.done() or sent.exception() is not None:
                break
            last_id = row_id
        if last_id:
            await self._spool.remove(last_id)
            for row_id in [each for each in self._under_way if each <= last_id]:
                del self._under_way[row_id]

    async def drained(self) -> None:
        """Return when nothing is left in the spool."""
        await self._direct.wait()

    async def close(self) -> None:
        """Drain the spool if Kafka is there; what is left stays on the disk."""
        with suppress(TimeoutError, EventLogUnavailable):
            async with asyncio.timeout(_CLOSE_S):
                while self._spooling.is_set():
                    await self._log.check()
                    await asyncio.sleep(0.01)
        self._draining.cancel()
        await asyncio.wait((self._draining,))
        if self._spool.records:
            log.warning("%d records stay in the spool %s", self._spool.records, self._spool.path)


def _look(sent: "asyncio.Future[None]") -> None:
    """Ask for the fault, lest asyncio complains that nobody did: the row in the spool is what counts."""
    if not sent.cancelled():
        sent.exception()


@asynccontextmanager
async def open_spooling(
    log_behind: SendingLog, spool: Spool, patience_s: float = PATIENCE_S
) -> AsyncIterator[SpoolingEventLog]:
    """The log for as long as the block lasts; both that it is made of are the caller's."""
    event_log = SpoolingEventLog(log_behind, spool, patience_s)
    try:
        yield event_log
    finally:
        await event_log.close()


async def drain_left_over(
    log_behind: SendingLog, folder: Path, limit_bytes: int, every_s: float = _LEFT_OVER_S
) -> None:
    """Again and again, until cancelled: send what processes that are gone have left in spools of this folder."""
    while True:
        try:
            spool = await asyncio.to_thread(left_over, folder, limit_bytes)
        except SpoolUnusable as error:
            log.warning("a spool that nobody has cannot be read: %s", error)
            spool = None
        if spool is None:
            await asyncio.sleep(every_s)
            continue
        log.info("%d records were left in %s; they are sent now", spool.records, spool.path)
        try:
            async with open_spooling(log_behind, spool) as draining:
                await draining.drained()
        finally:
            await spool.close()
