"""A queue of records on this machine's disk, for the time that the log is away (ADR 10).

`put` returns when its records are on the disk (WAL with ``synchronous=FULL``, so after an fsync); puts that come in
while a commit runs share the next one. What was put is there after `kill -9` and a power cut. Rows are numbered in the
order of `put`. Bounded: refuses with SpoolFull what goes over its limit, and what a full disk has no room for.
One process at a time has a file; `open_spool` takes the first of a folder that is free.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from audience.ports.event_log import EventLogUnavailable, LogRecord

T = TypeVar("T")

FILES: Final = 64
"""So many processes may share a folder."""

_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS spool (
        id      INTEGER PRIMARY KEY AUTOINCREMENT,
        put_ms  INTEGER NOT NULL,
        records INTEGER NOT NULL,
        data    BLOB NOT NULL
    )
"""
_Stored = tuple[str, str, bytes | None]
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[_Stored]).decode

log = logging.getLogger(__name__)


class SpoolFull(EventLogUnavailable):
    """There is no room for these records, or the disk does not take them."""


class SpoolUnusable(Exception):
    """The spool cannot be opened; the words say which file, and why."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one `put` brought, in its order."""

    id: int
    records: Sequence[LogRecord]


@dataclass(slots=True)
class _Put:
    put_ms: int
    count: int
    data: bytes
    done: "asyncio.Future[int]"


class Spool:
    """The queue, for one event loop. All SQL runs in one thread, in the order in which it was asked for."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """Open or make the file. Raises SpoolUnusable, BlockingIOError where another process has it."""
        self.path = path
        self.limit_bytes = limit_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._waiting: list[_Put] = []
        self._refused = False
        self._committing: asyncio.Task[None] | None = None
        self.records, self.bytes, self.oldest_ms = self._thread.submit(self._open).result()

    def _open(self) -> tuple[int, int, int]:
        try:
            self._db = sqlite3.connect(self.path, timeout=0, isolation_level=None)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(_SCHEMA)
            [found] = self._db.execute(
                "SELECT coalesce(sum(records), 0), coalesce(sum(length(data)), 0), coalesce(min(put_ms), 0) FROM spool"
            )
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise BlockingIOError(f"{self.path} is in use") from error
            raise SpoolUnusable(f"{self.path}: {error}") from error
        return (int(found[0]), int(found[1]), int(found[2]))

    @property
    def has_room(self) -> bool:
        """Whether nothing had to be refused since something was removed last."""
        return not self._refused

    @property
    def oldest_s(self) -> float:
        """The age of what has been here longest; 0 where nothing is."""
        return max(0.0, time.time() - self.oldest_ms / 1000) if self.records else 0.0

    async def put(self, records: Sequence[LogRecord]) -> int:
        """Keep these records; gives their row's number when they are on the disk. Raises SpoolFull."""
        data = _encode([(record.topic, record.key, record.value) for record in records])
        if self.bytes + len(data) > self.limit_bytes:
            self._refused = True
            raise SpoolFull(f"the spool holds {self.bytes} of at most {self.limit_bytes} bytes")
        now_ms = time.time_ns() // 1_000_000
        put = _Put(now_ms, len(records), data, asyncio.get_running_loop().create_future())
        if not self.records:
            self.oldest_ms = now_ms
        self.records += put.count
        self.bytes += len(data)
        self._waiting.append(put)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())
        return await put.done

    async def _commit_all(self) -> None:
        while self._waiting:
            puts, self._waiting = self._waiting, []
            try:
                ids = await self._in_thread(self._insert, puts)
            except sqlite3.Error as error:
                self._refused = True
                for put in puts:
                    self.records -= put.count
                    self.bytes -= len(put.data)
                    if not put.done.done():
                        put.done.set_exception(SpoolFull(f"the spool's disk does not take it: {error}"))
            else:
                for put, row_id in zip(puts, ids, strict=True):
                    if not put.done.done():
                        put.done.set_result(row_id)
        self._committing = None

    def _insert(self, puts: Sequence[_Put]) -> list[int]:
        with _transaction(self._db) as db:
            statement = "INSERT INTO spool (put_ms, records, data) VALUES (?, ?, ?)"
            return [db.execute(statement, (put.put_ms, put.count, put.data)).lastrowid or 0 for put in puts]

    async def head(self, at_most: int) -> list[Row]:
        """The rows that have been here longest: as many as hold `at_most` records, and one at least if there is one."""
        return await self._in_thread(self._head, at_most)

    def _head(self, at_most: int) -> list[Row]:
        rows: list[Row] = []
        left = at_most
        for row_id, count, data in self._db.execute("SELECT id, records, data FROM spool ORDER BY id"):
            left -= count
            if rows and left < 0:
                break
            rows.append(Row(row_id, [LogRecord(*each) for each in _decode(data)]))
        return rows

    async def hashes(self) -> set[int]:
        """Those of all records that are here."""
        return await self._in_thread(self._hashes)

    def _hashes(self) -> set[int]:
        rows = self._db.execute("SELECT data FROM spool")
        return {hash(LogRecord(*each)) for (data,) in rows for each in _decode(data)}

    async def remove(self, last_id: int) -> None:
        """Forget the rows up to this one. Raises SpoolFull where the disk does not take even that; they stay then."""
        try:
            gone_records, gone_bytes, oldest_ms = await self._in_thread(self._delete, last_id)
        except sqlite3.Error as error:
            raise SpoolFull(f"the spool's disk does not take it: {error}") from error
        self.records -= gone_records
        self.bytes -= gone_bytes
        self._refused = False
        self.oldest_ms = oldest_ms or time.time_ns() // 1_000_000  # what is being put at this moment

    def _delete(self, last_id: int) -> tuple[int, int, int]:
        with _transaction(self._db) as db:
            [gone] = db.execute(
                "SELECT coalesce(sum(records), 0), coalesce(sum(length(data)), 0) FROM spool WHERE id <= ?", (last_id,)
            )
            db.execute("DELETE FROM spool WHERE id <= ?", (last_id,))
            [[oldest_ms]] = db.execute("SELECT coalesce(min(put_ms), 0) FROM spool")
        if not oldest_ms:
            self._shrink()
        return (int(gone[0]), int(gone[1]), int(oldest_ms))

    def _shrink(self) -> None:
        """Give the disk back what an outage took: SQLite keeps the pages that it has."""
        try:
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            log.warning("%s stays as large as it is: %s", self.path, error)

    async def close(self) -> None:
        """Finish what was put, and let the file go."""
        if self._committing is not None:
            await self._committing
        await self._in_thread(self._db.close)
        self._thread.shutdown()

    def let_go(self) -> None:
        """`close`, of one that nothing was put into; blocks."""
        self._thread.submit(self._db.close).result()
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@asynccontextmanager
async def open_spool(folder: Path, limit_bytes: int) -> AsyncIterator[Spool]:
    """The first spool of the folder that no other process has, for as long as the block lasts. Raises SpoolUnusable."""
    spool = _first_free(folder, limit_bytes)
    try:
        yield spool
    finally:
        await spool.close()


def _first_free(folder: Path, limit_bytes: int) -> Spool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpoolUnusable(f"{folder}: {error}") from error
    for number in range(FILES):
        with suppress(BlockingIOError):
            return Spool(folder / f"spool-{number}.sqlite", limit_bytes)
    raise SpoolUnusable(f"{folder}: {FILES} processes have a spool there already")


def left_over(folder: Path, limit_bytes: int) -> Spool | None:
    """A spool of the folder that holds records and that no process has; None where there is none. Blocks.

    Whoever had it ended before it was empty, and where fewer processes run now, nobody takes it. Raises SpoolUnusable.
    """
    for path in sorted(folder.glob("spool-*.sqlite")):
        with suppress(BlockingIOError):
            spool = Spool(path, limit_bytes)
            if spool.records:
                return spool
            spool.let_go()
    return None
