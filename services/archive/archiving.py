"""The loop from the log to bronze. Its place is the table's: whatever is killed, no record is lost or kept twice.

Everything blocks, so all of it runs on one thread of its own. While the log or the lake is away the loop waits and
tries, for ever, and says so (`check`).
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import structlog

from audience.adapters.kafka.follower import Follower, PlaceLost
from audience.ports.event_log import EventLogUnavailable
from audience.ports.lake import Archive, LakeUnavailable
from services.archive.metrics import ArchiveMetrics

READ_S: Final = 5.0
"""How long one commit's records are read at most."""

LOOK_FOR_PARTITIONS_S: Final = 30.0
IDLE_COMMIT_S: Final = 30.0
"""So often an idle archive commits that it is complete: readers show how old the lake is."""

RETRY_S: Final = 2.0
T = TypeVar("T")
log = structlog.stdlib.get_logger(__name__)


class Archiving:
    """Use `run` as a background task."""

    def __init__(
        self,
        follower: Follower,
        archive: Archive,
        metrics: ArchiveMetrics,
        *,
        every_s: float,
        batch_records: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._follower = follower
        self._archive = archive
        self._metrics = metrics
        self._every_s = every_s
        self._batch_records = batch_records
        self._now_ms = now_ms
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="archiving")
        self._partitions: list[int] = []
        self._looked_s = 0.0
        self._committed_s = 0.0
        self._complete_to_ms = 0
        self._fault = "nothing has been archived yet"

    async def run(self) -> None:
        """Archive, until cancelled."""
        while True:
            began_s = time.monotonic()
            try:
                more = await self._call(self.step)
            except (EventLogUnavailable, LakeUnavailable, PlaceLost) as error:
                if str(error) != self._fault:
                    log.warning("cannot archive; trying again", error=str(error))
                self._fault = str(error)
                self._partitions = []  # begin again from what the lake says
                if isinstance(error, EventLogUnavailable):
                    await self._call(self._follower.reconnect)
                await asyncio.sleep(RETRY_S)
                continue
            if self._fault:
                log.info("archiving", partitions=len(self._partitions))
            self._fault = ""
            if not more:
                await asyncio.sleep(max(0.0, began_s + self._every_s - time.monotonic()))

    async def check(self) -> None:
        """Raise LakeUnavailable while nothing can be archived, with why."""
        if self._fault:
            raise LakeUnavailable(self._fault)

    def step(self) -> bool:
        """Read and commit once; whether there is more already. Blocks."""
        # Step 1: from where, as the table says.
        if not self._partitions or time.monotonic() - self._looked_s > LOOK_FOR_PARTITIONS_S:
            self._begin()
        # Step 2: to where. What was accepted before this instant lies before these ends.
        asked_ms = self._now_ms()
        ends = self._follower.ends()
        entries, reached = self._follower.read(ends, self._batch_records, READ_S)
        # Step 3: records and place in one commit.
        if reached:
            self._complete_to_ms = asked_ms
        if entries or (reached and time.monotonic() - self._committed_s >= IDLE_COMMIT_S):
            with self._metrics.commit_seconds.time():
                kept = self._archive.append(entries, self._complete_to_ms)
            self._committed_s = time.monotonic()
            self._metrics.records.inc(kept)
            self._metrics.complete_to.set(self._complete_to_ms / 1_000)
            # Step 4: for tools that show how far behind we are.
            self._follower.tell()
        self._metrics.lag.set(self._follower.lag(ends))
        return not reached

    def _begin(self) -> None:
        partitions = self._follower.partitions()
        self._looked_s = time.monotonic()
        if partitions == self._partitions:
            return
        places = dict(self._archive.positions(partitions))
        while True:
            try:
                self._follower.begin(places)
                break
            except PlaceLost as lost:
                if lost.place > lost.end:
                    raise  # another log than the one that the lake was made from: nobody can tell what to do
                missed = lost.first - lost.place
                # Of a new lake beside an old log nothing is lost that it could have had.
                if lost.place:
                    self._metrics.missed.inc(missed)
                    log.critical("the log has forgotten records that were not archived", records=missed, why=str(lost))
                places[lost.partition] = lost.first
        self._partitions = partitions

    async def _call(self, action: Callable[[], T]) -> T:
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, action))
