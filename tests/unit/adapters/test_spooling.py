"""The log that takes records while Kafka is away: nothing lost, nothing overtaken, nothing sent twice.

Kafka's part is played by a log whose acknowledgements come when a test says; tests/faults kills a real broker.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence, Set
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from audience.adapters.spooling import SpoolingEventLog, drain_left_over, open_spooling
from audience.adapters.sqlite.spool import Spool, SpoolFull, open_spool
from audience.ports.event_log import EventLog, EventLogUnavailable, LogRecord
from tests.integration.contracts.event_log import EventLogContract, OpenedLog

MIB = 1024 * 1024
PATIENCE_S = 0.05


@dataclass(slots=True)
class Broker:
    """A `SendingLog`. While `away` it keeps what is sent, as an idempotent producer does, and writes it later."""

    written: list[LogRecord] = field(default_factory=list)
    away: bool = False
    full: bool = False
    silent: bool = False
    waiting: list[tuple[Sequence[LogRecord], "asyncio.Future[None]"]] = field(default_factory=list)
    sends: int = 0

    def send(self, records: Sequence[LogRecord]) -> "asyncio.Future[None]":
        if self.full:
            raise EventLogUnavailable("the queue to Kafka is full")
        self.sends += 1
        done = asyncio.get_running_loop().create_future()
        self.waiting.append((list(records), done))
        asyncio.get_running_loop().call_soon(self._write)
        return done

    def _write(self) -> None:
        while self.waiting and not self.away:
            records, done = self.waiting.pop(0)
            self.written += records
            done.set_result(None)

    def come_back(self) -> None:
        self.away = False
        self._write()

    def break_down(self, *, written: int = 0) -> None:
        """The producer fails for good: what it holds is lost to it, though the first few are written."""
        for records, done in self.waiting[:written]:
            self.written += records
            done.set_exception(EventLogUnavailable("out of order"))
        del self.waiting[:written]
        for _, done in self.waiting:
            done.set_exception(EventLogUnavailable("out of order"))
        self.waiting.clear()

    async def find(self, since_ms: int, wanted: Set[int]) -> Set[int]:
        assert since_ms < time.time() * 1000 - PATIENCE_S * 1000
        await self.check()
        if self.silent:
            raise EventLogUnavailable("not allowed")
        return {hash(each) for each in self.written} & wanted

    async def check(self) -> None:
        if self.away:
            raise EventLogUnavailable("no broker")


@dataclass(frozen=True, slots=True)
class Opened:
    """A log under test."""

    log: SpoolingEventLog
    broker: Broker
    spool: Spool
    topic: str = "events"

    async def records(self) -> Sequence[LogRecord]:
        return self.broker.written

    async def drained(self) -> None:
        async with asyncio.timeout(10):
            while self.log._spooling.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@asynccontextmanager
async def opening(folder: Path, broker: Broker | None = None, limit_bytes: int = 64 * MIB) -> AsyncIterator[Opened]:
    broker = broker or Broker()
    async with open_spool(folder, limit_bytes) as spool, open_spooling(broker, spool, PATIENCE_S) as log:
        yield Opened(log, broker, spool)


def record(number: int, key: str = "demo:u1") -> LogRecord:
    return LogRecord("events", key, b"%d" % number)


class TestSpoolingEventLog(EventLogContract):
    @pytest_asyncio.fixture(params=["direct", "through the spool"])
    async def opened(self, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[OpenedLog]:
        async with opening(tmp_path) as found:
            if request.param == "direct":
                yield found
            else:
                yield _Spooled(found)

    @pytest.fixture
    def away(self, tmp_path: Path) -> AbstractAsyncContextManager[EventLog]:
        """Kafka away, and the spool has no room."""

        @asynccontextmanager
        async def log() -> AsyncIterator[EventLog]:
            async with opening(tmp_path, Broker(away=True), limit_bytes=1) as found:
                yield found.log

        return log()


class _Spooled:
    """What is appended goes into the spool first; what is read is what came out of it."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self.topic = opened.topic
        opened.log._begin("the test wants it")

    @property
    def log(self) -> EventLog:
        return self._opened.log

    async def records(self) -> Sequence[LogRecord]:
        await self._opened.drained()
        return self._opened.broker.written


async def test_an_outage_costs_patience_once_and_loses_nothing(tmp_path: Path) -> None:
    async with opening(tmp_path) as opened:
        await opened.log.append([record(0)])
        opened.broker.away = True
        first = asyncio.create_task(opened.log.append([record(1)]))
        await asyncio.sleep(PATIENCE_S / 5)
        assert not first.done()
        await first
        async with asyncio.timeout(PATIENCE_S * 40):
            for number in range(2, 100):
                await opened.log.append([record(number)])
        assert (opened.spool.records, opened.broker.sends) == (99, 2)
        assert opened.broker.written == [record(0)]
        opened.broker.come_back()
        await opened.drained()
        assert opened.broker.written == [record(number) for number in range(100)]
        assert opened.spool.records == 0
        await opened.log.append([record(100)])
        assert opened.broker.written[-1] == record(100)
        assert not opened.log._spooling.is_set()


async def test_nothing_overtakes_while_the_spool_drains_under_load(tmp_path: Path) -> None:
    broker = Broker(away=True)
    async with opening(tmp_path, broker) as opened:

        async def client(key: str) -> None:
            for number in range(300):
                await opened.log.append([record(number, key)])
                if key == "k0" and number == 100:
                    broker.come_back()

        await asyncio.gather(*(client(f"k{each}") for each in range(20)))
        await opened.drained()
    for each in range(20):
        numbers = [int(one.value or b"") for one in broker.written if one.key == f"k{each}"]
        assert numbers == list(range(300))


async def test_a_spool_that_is_found_goes_first(tmp_path: Path) -> None:
    async with opening(tmp_path, Broker(away=True)) as before:
        await before.log.append([record(1)])
    broker = Broker(away=True)
    async with opening(tmp_path, broker) as opened:
        await opened.log.append([record(2)])
        assert broker.sends == 0
        broker.come_back()
        await opened.drained()
    assert broker.written == [record(1), record(2)]


async def test_what_a_dead_producer_held_is_sent_again(tmp_path: Path) -> None:
    broker = Broker(away=True)
    async with opening(tmp_path, broker) as opened:
        await opened.log.append([record(1)])
        await opened.log.append([record(2)])
        broker.break_down()
        broker.come_back()
        await opened.drained()
    assert broker.written == [record(1), record(2)]


async def test_what_a_dead_producer_had_written_is_not_sent_again(tmp_path: Path) -> None:
    broker = Broker(away=True)
    async with opening(tmp_path, broker) as opened:
        await asyncio.gather(*(opened.log.append([record(number)]) for number in range(5)))
        broker.break_down(written=3)
        broker.come_back()
        await opened.drained()
        await opened.log.append([record(5)])
    assert broker.written == [record(number) for number in range(6)]


async def test_what_a_dead_process_had_written_is_not_sent_again(tmp_path: Path) -> None:
    async with open_spool(tmp_path, MIB) as spool:
        await spool.put([record(1), record(2)])
        await spool.put([record(3)])
        await spool.put([record(4)])
    broker = Broker(written=[record(0), record(1), record(3)])
    async with opening(tmp_path, broker) as opened:
        await opened.drained()
        assert opened.spool.records == 0
        await opened.log.append([record(3)])  # sent by its client once more, now
    assert broker.written == [record(each) for each in (0, 1, 3, 2, 4, 3)]


async def test_a_kafka_that_does_not_tell_is_asked_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with open_spool(tmp_path, MIB) as spool:
        await spool.put([record(1)])
    broker = Broker(written=[record(1)], silent=True)
    async with opening(tmp_path, broker) as opened:
        await asyncio.sleep(0.4)
        assert (broker.sends, opened.spool.records) == (0, 1)
        assert "not allowed" in caplog.text
        broker.silent = False
        await opened.drained()
    assert broker.written == [record(1)]


async def test_a_refused_send_goes_to_the_spool(tmp_path: Path) -> None:
    broker = Broker(full=True)
    async with opening(tmp_path, broker) as opened:
        await opened.log.append([record(1)])
        assert opened.spool.records == 1
        broker.full = False
        await opened.drained()
    assert broker.written == [record(1)]


async def test_a_full_spool_refuses_and_has_room_again_later(tmp_path: Path) -> None:
    broker = Broker(away=True)
    async with opening(tmp_path, broker, limit_bytes=2_000) as opened:
        await opened.log.append([record(-1)])
        outcomes = await asyncio.gather(
            *(opened.log.append([record(number)]) for number in range(1_000)), return_exceptions=True
        )
        assert {type(each) for each in outcomes} == {type(None), SpoolFull}
        kept = opened.spool.records
        broker.come_back()
        await opened.drained()
        assert len(broker.written) == kept
        await opened.log.append([record(1_000)])


async def test_the_end_drains_the_spool(tmp_path: Path) -> None:
    broker = Broker(away=True)
    async with opening(tmp_path, broker) as opened:
        for number in range(500):
            await opened.log.append([record(number)])
        broker.come_back()
    assert len(broker.written) == 500
    async with open_spool(tmp_path, MIB) as spool:
        assert spool.records == 0


async def test_the_end_does_not_wait_for_a_kafka_that_is_away(tmp_path: Path) -> None:
    async with asyncio.timeout(3):
        async with opening(tmp_path, Broker(away=True)) as opened:
            await opened.log.append([record(1)])
    async with open_spool(tmp_path, MIB) as spool:
        assert spool.records == 1


async def test_readiness_is_that_of_the_log_behind(tmp_path: Path) -> None:
    async with opening(tmp_path, Broker(away=True)) as opened:
        with pytest.raises(EventLogUnavailable, match="no broker"):
            await opened.log.check()


async def test_what_a_process_left_that_is_gone_is_sent_by_another(tmp_path: Path) -> None:
    broker = Broker()
    async with open_spool(tmp_path, MIB), AsyncExitStack() as process:
        second = await process.enter_async_context(open_spool(tmp_path, MIB))
        await second.put([LogRecord("events", "a", b"1"), LogRecord("events", "a", b"2")])
        draining = asyncio.create_task(drain_left_over(broker, tmp_path, MIB, 0.02))
        await asyncio.sleep(0.2)
        assert not broker.written  # somebody has it
        await process.aclose()
        async with asyncio.timeout(10):
            while len(broker.written) < 2:  # noqa: ASYNC110  a fake tells nobody
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        draining.cancel()
        await asyncio.wait((draining,))
        assert [record.value for record in broker.written] == [b"1", b"2"]
    async with open_spool(tmp_path, MIB), open_spool(tmp_path, MIB) as again:
        assert again.records == 0
