"""What tests of ingest-api need of a running platform, and what arrives in its topics."""

from collections.abc import Iterator
from typing import Protocol

from audience.adapters.kafka.reader import end_of, read_between
from audience.wire.topics import EVENTS, EVENTS_BAD, BadEventRecord, EventRecord, decode_bad_event, decode_event


class Platform(Protocol):
    """What these tests need of the running platform."""

    @property
    def ingest_url(self) -> str: ...
    @property
    def kafka_bootstrap(self) -> str: ...
    @property
    def postgres_dsn(self) -> str: ...
    @property
    def segments_url(self) -> str: ...
    @property
    def write_key(self) -> str: ...
    @property
    def api_token(self) -> str: ...


class Topics:
    """What came into the two topics since the beginning of a test."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._start = {topic: end_of(bootstrap, topic) for topic in (EVENTS, EVENTS_BAD)}

    def _values(self, topic: str) -> Iterator[bytes]:
        end = end_of(self._bootstrap, topic)
        return (record.value or b"" for record in read_between(self._bootstrap, topic, self._start[topic], end))

    def events_of(self, user: str) -> list[EventRecord]:
        return [event for event in map(decode_event, self._values(EVENTS)) if event.user_id == user]

    def bad_with(self, text: str) -> list[BadEventRecord]:
        return [bad for bad in map(decode_bad_event, self._values(EVENTS_BAD)) if text.encode() in bad.original]
