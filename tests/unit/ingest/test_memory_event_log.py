"""The log in memory keeps the contract that the others keep, so what passes with it passes with them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import pytest

from audience.ports.event_log import EventLog, LogRecord
from tests.integration.contracts.event_log import EventLogContract, OpenedLog
from tests.unit.ingest.fakes import MemoryEventLog

TOPIC: Final = "events"


@dataclass(frozen=True, slots=True)
class InMemory:
    """A log under test."""

    log: MemoryEventLog = field(default_factory=MemoryEventLog)
    topic: str = TOPIC

    async def records(self) -> Sequence[LogRecord]:
        return self.log.topics.get(self.topic, [])


class TestMemoryEventLog(EventLogContract):
    @pytest.fixture
    def opened(self) -> OpenedLog:
        return InMemory()

    @pytest.fixture
    def away(self) -> AbstractAsyncContextManager[EventLog]:
        @asynccontextmanager
        async def log() -> AsyncIterator[EventLog]:
            yield MemoryEventLog(away=True)

        return log()
