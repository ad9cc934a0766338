"""A process of its own for what the lake is asked: neither its memory nor its work may hold up the hot path.

It is started at the first question and stays, with its connection open. One question at a time; a process that is
killed, by the system for its memory, say, is replaced. It ends with its parent, however that ends.
"""

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, TypeVar

from pydantic import SecretStr

from audience.adapters.lake import analytics
from audience.adapters.lake.analytics import Analysis, Rows
from audience.adapters.lake.duck import Bounds
from audience.adapters.lake.histories import DuckLakeReader
from audience.adapters.lake.tables import COMPLETE_TO, SILVER, LakeLocation
from audience.adapters.postgres.belongings import PostgresBelongings
from audience.adapters.postgres.pool import open_pool
from audience.adapters.regex import compile_regex
from audience.ports.event_log import KeptEvent
from audience.ports.lake import LakeUnavailable
from audience.rules.references import lists_of, segments_of
from services.segments.previewing import FROZEN, Preview, Previewed, Previews

MOST_WAITING: Final = 8
"""So many questions wait for their turn; more are refused."""

NICENESS: Final = 5
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What the process works with."""

    lake: LakeLocation
    bounds: Bounds
    postgres_dsn: SecretStr


class Busy(Exception):
    """Too many questions are waiting."""


class LakeWorker:
    """The process, seen from the service."""

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self._pool: ProcessPoolExecutor | None = None
        self._waiting = 0

    async def ask(self, question: Callable[..., T], *arguments: object) -> T:
        """Have a function of this module answered. Raises what it raises, Busy, and LakeUnavailable where it dies."""
        if self._waiting >= MOST_WAITING:
            raise Busy(f"{self._waiting} questions are waiting")
        self._waiting += 1
        try:
            if self._pool is None:
                context = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(1, context, initializer=_begin, initargs=(self._options,))
            pool = self._pool
            try:
                return await asyncio.get_running_loop().run_in_executor(pool, question, *arguments)
            except BrokenProcessPool as error:
                if self._pool is pool:
                    self._pool = None
                pool.shutdown(wait=False)
                raise LakeUnavailable("the process that reads the lake has ended; it is started again") from error
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


_process: "_Process | None" = None


class _Process:
    """What the process keeps between questions."""

    def __init__(self, options: WorkerOptions) -> None:
        self.options = options
        self._reader: DuckLakeReader | None = None

    @property
    def reader(self) -> DuckLakeReader:
        if self._reader is None:
            self._reader = DuckLakeReader(self.options.lake, self.options.bounds)
        return self._reader

    def forget(self) -> None:
        """After a failure the connection is made anew."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _begin(options: WorkerOptions) -> None:
    global _process  # noqa: PLW0603  the state of a process that runs nothing else
    _process = _Process(options)
    os.nice(NICENESS)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _this() -> _Process:
    if _process is None:
        raise RuntimeError("this is no process of a LakeWorker")
    return _process


def analyse(asked: Analysis, limit_s: float) -> tuple[Rows, int]:
    """The rows of an analysis, and up to when every event is in them. Raises LakeTooSlow, LakeUnavailable."""
    this = _this()
    duck = this.reader.duck
    try:
        with duck.until(time.monotonic() + limit_s):
            rows = analytics.analyse(duck, asked)
            table = duck.table(SILVER)
            return rows, 0 if table is None else table.transaction_version(COMPLETE_TO) or 0
    except LakeUnavailable:
        this.forget()
        raise


def events_of(workspace: str, profile_id: str, limit_s: float) -> Sequence[KeptEvent]:
    """A profile's events. Raises LakeTooSlow, LakeUnavailable."""
    this = _this()
    try:
        return this.reader.events_of(workspace, profile_id, time.monotonic() + limit_s)
    except LakeUnavailable:
        this.forget()
        raise


def preview(asked: Preview, limit_s: float) -> Previewed:
    """One preview. Raises LakeTooSlow, LakeUnavailable, StoreUnavailable."""
    this = _this()
    rules = (asked.rule, *asked.segments.values())
    lists = frozenset[str]().union(*map(lists_of, rules))
    frozen = frozenset[str]().union(*map(segments_of, rules)) & asked.paused
    with asyncio.Runner() as runner:
        pools = AsyncExitStack()
        # Connects when it is first asked, and most rules refer to no list.
        pool = runner.run(
            pools.enter_async_context(open_pool(this.options.postgres_dsn.get_secret_value(), max_size=1))
        )
        belongings = PostgresBelongings(pool)

        async def read(profile_ids: Sequence[str]) -> Mapping[str, frozenset[str]]:
            on = await belongings.lists(asked.workspace, lists, profile_ids)
            inside = await belongings.segments(asked.workspace, frozen, profile_ids)
            return {
                profile_id: on.get(profile_id, frozenset()) | {FROZEN + key for key in inside.get(profile_id, ())}
                for profile_id in on.keys() | inside.keys()
            }

        try:
            return Previews(this.reader, compile_regex).preview(asked, lambda ids: runner.run(read(ids)), limit_s)
        except LakeUnavailable:
            this.forget()
            raise
        finally:
            runner.run(pools.aclose())
