"""What every `EventLog` does. A test module subclasses `EventLogContract` and says how to open one and to read it."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import pytest

from audience.ports.event_log import EventLog, EventLogUnavailable, LogRecord


class OpenedLog(Protocol):
    """A log under test, with a topic of its own that is empty."""

    @property
    def log(self) -> EventLog: ...
    @property
    def topic(self) -> str: ...

    async def records(self) -> Sequence[LogRecord]:
        """All records of the topic; those of one key in their order."""


class EventLogContract:
    """Subclasses give the fixtures `opened` and, for a log that is away, `away`."""

    async def test_what_was_appended_is_there_when_append_returns(self, opened: OpenedLog) -> None:
        records = [LogRecord(opened.topic, f"demo:u{number}", b"%d" % number) for number in range(500)]
        await opened.log.append(records)
        assert sorted(await opened.records(), key=repr) == sorted(records, key=repr)

    async def test_records_with_one_key_keep_their_order(self, opened: OpenedLog) -> None:
        for start in range(0, 1_000, 100):
            await opened.log.append(
                [LogRecord(opened.topic, f"k{number % 3}", b"%d" % number) for number in range(start, start + 100)]
            )
        for key in ("k0", "k1", "k2"):
            numbers = [int(record.value or b"-1") for record in await opened.records() if record.key == key]
            assert numbers == sorted(numbers)
            assert len(numbers) == len(set(numbers))

    async def test_many_appends_at_once(self, opened: OpenedLog) -> None:
        appends = [[LogRecord(opened.topic, f"k{each}", b"%d" % each)] * 20 for each in range(200)]
        await asyncio.gather(*map(opened.log.append, appends))
        found = await opened.records()
        assert len(found) == 4_000
        assert all(sum(record.key == f"k{each}" for record in found) == 20 for each in range(0, 200, 40))

    async def test_tombstones_and_empty_values_differ(self, opened: OpenedLog) -> None:
        await opened.log.append([LogRecord(opened.topic, "k", b""), LogRecord(opened.topic, "k", None)])
        assert [record.value for record in await opened.records()] == [b"", None]

    async def test_keys_are_text(self, opened: OpenedLog) -> None:
        await opened.log.append([LogRecord(opened.topic, "demo:ü 😀:\n", b"x")])
        assert [record.key for record in await opened.records()] == ["demo:ü 😀:\n"]

    async def test_nothing_to_append(self, opened: OpenedLog) -> None:
        await opened.log.append([])
        assert await opened.records() == []

    async def test_a_record_as_large_as_a_body_in_base64(self, opened: OpenedLog) -> None:
        value = b"x" * (6 * 1024 * 1024)
        await opened.log.append([LogRecord(opened.topic, "k", value)])
        assert [record.value for record in await opened.records()] == [value]

    async def test_check_returns_while_the_log_answers(self, opened: OpenedLog) -> None:
        await opened.log.check()

    async def test_a_log_that_is_away_says_so(self, away: AbstractAsyncContextManager[EventLog]) -> None:
        async with away as log:
            with pytest.raises(EventLogUnavailable):
                await log.check()
            with pytest.raises(EventLogUnavailable):
                await log.append([LogRecord("events", "k", b"x")])
