"""Appending to Kafka: an idempotent producer with `acks=all`, in bulk, with one future for each append.

Bounded in time (librdkafka gives a record up after `timeout_s`, and says so) and in memory (a full queue refuses at
once). Refuses to be clever about retries: what was not acknowledged may or may not be in the log, and whoever appended
it decides. With `tireless` librdkafka never gives a record up, so that one that waits for the broker's return is
written once; then it is for the caller to bound its waiting (`audience.adapters.spooling`). After a fatal error of the
idempotent protocol the producer is replaced by a new one.

Acknowledgements are fetched by the event loop itself, once a millisecond while any are awaited. A thread that waits
for them would have to take the interpreter's lock for every record; that cost a sixth of the throughput.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence, Set
from contextlib import asynccontextmanager
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from audience.adapters.kafka.driver import base_config
from audience.adapters.kafka.reader import begin_of, end_of, read_between
from audience.ports.event_log import EventLogUnavailable, LogRecord

RECORD_BYTES: Final = 8 * 1024 * 1024
"""The largest record: a bad event may be as large as a request's body, and base64 makes it larger by a third.
Its topic must allow as much (`max.message.bytes`)."""

_QUEUE_RECORDS: Final = 200_000
_QUEUE_KIB: Final = 128 * 1024
_POLL_S: Final = 0.001
_IDLE_POLL_S: Final = 0.5
"""What librdkafka has to log comes out when it is polled, so it is polled while there is nothing to wait for, too."""

_CHECK_S: Final = 1.5
_MARGIN_S: Final = 2.0
"""librdkafka looks for records that are too old once a second; past this margin it is not to be trusted any more."""

log = logging.getLogger(__name__)


class KafkaEventLog:
    """Implements `audience.ports.event_log.EventLog`, for one event loop. Use `open_event_log`."""

    def __init__(self, bootstrap: str, config: dict[str, Any], timeout_s: float, topics: Collection[str] = ()) -> None:
        self._bootstrap = bootstrap
        self._config = config
        self._timeout_s = timeout_s
        self._topics = topics
        self._producer = Producer(config)
        self._retired: list[Producer] = []
        self._loop = asyncio.get_running_loop()
        self._awaited = 0
        self._timer = self._loop.call_later(_IDLE_POLL_S, self._poll)

    async def append(self, records: Sequence[LogRecord]) -> None:
        """Append all; records with one key keep their order. Raises EventLogUnavailable."""
        if not records:
            return
        done = self.send(records)
        # asyncio.timeout() would do the same in three times the time.
        limit = self._loop.call_later(self._timeout_s + _MARGIN_S, _give_up, done)
        try:
            await done
        finally:
            limit.cancel()

    def send(self, records: Sequence[LogRecord]) -> "asyncio.Future[None]":
        """Hand records over, in order; the future is done when all are acknowledged, or has EventLogUnavailable.

        Raises EventLogUnavailable where they are not even taken; some of them may be written then.
        """
        producer = self._producer
        report = _Delivery(len(records), self._loop.create_future(), producer, self._replace_if_fatal)
        try:
            produce, reported = producer.produce, report.report
            for record in records:
                produce(record.topic, record.value, record.key, -1, reported)
        except BufferError as error:
            raise EventLogUnavailable("the queue to Kafka is full") from error
        except KafkaException as error:
            self._replace_if_fatal(producer, error.args[0])
            raise EventLogUnavailable(f"Kafka: {error.args[0].str()}") from error
        if not self._awaited:
            self._timer.cancel()
            self._timer = self._loop.call_later(_POLL_S, self._poll)
        self._awaited += 1
        report.done.add_done_callback(self._forget)
        return report.done

    def _forget(self, _: "asyncio.Future[None]") -> None:
        self._awaited -= 1

    async def find(self, since_ms: int, wanted: Set[int]) -> Set[int]:
        """The hashes of those records, of these, that its topics have since then. Raises EventLogUnavailable."""
        return await asyncio.to_thread(self._search, since_ms, wanted)

    def _search(self, since_ms: int, wanted: Set[int]) -> Set[int]:
        at = self._bootstrap
        return {
            found
            for topic in self._topics
            for record in read_between(at, topic, begin_of(at, topic, since_ms), end_of(at, topic))
            if (found := hash(record)) in wanted
        }

    async def check(self) -> None:
        """Return when the log answers and has its topics; raise EventLogUnavailable otherwise."""
        try:
            found = await asyncio.to_thread(self._producer.list_topics, timeout=_CHECK_S)
        except KafkaException as error:
            raise EventLogUnavailable(f"Kafka: {error.args[0].str()}") from error
        if missing := sorted(set(self._topics) - found.topics.keys()):
            raise EventLogUnavailable(f"Kafka has no topic {', '.join(missing)}")

    async def close(self) -> None:
        """Let what is under way be acknowledged or given up, then end."""
        ends_s = self._loop.time() + self._timeout_s + _MARGIN_S
        while len(self._producer) and self._loop.time() < ends_s:
            self._producer.poll(0)
            await asyncio.sleep(_POLL_S)
        self._timer.cancel()
        if left := len(self._producer):
            log.warning("%d records were not acknowledged before the end", left)

    def _poll(self) -> None:
        """Have librdkafka call `_Delivery.report` for every acknowledgement that has come in."""
        try:
            self._producer.poll(0)
            for producer in self._retired:
                producer.poll(0)
            self._retired = [producer for producer in self._retired if len(producer)]
        finally:
            self._timer = self._loop.call_later(_POLL_S if self._awaited else _IDLE_POLL_S, self._poll)

    def _replace_if_fatal(self, producer: Producer, error: KafkaError) -> None:
        """After a fatal error a producer takes nothing any more; a new one begins a sequence of its own."""
        if error.fatal() and producer is self._producer:
            log.error("Kafka's producer failed for good and is replaced: %s", error.str())
            self._producer = Producer(self._config)
            self._retired.append(producer)


class _Delivery:
    """Counts the reports of what was sent together; the last one ends the future, with the first fault if any."""

    __slots__ = ("_fault", "_left", "_on_fault", "_producer", "done")

    def __init__(
        self,
        records: int,
        done: "asyncio.Future[None]",
        producer: Producer,
        on_fault: Callable[[Producer, KafkaError], None],
    ) -> None:
        self._left = records
        self._fault: KafkaError | None = None
        self._producer = producer
        self._on_fault = on_fault
        self.done = done

    def report(self, fault: KafkaError | None, _: Message) -> None:
        """Called by librdkafka for each record, from within `poll`."""
        if fault is not None and self._fault is None:
            self._fault = fault
            self._on_fault(self._producer, fault)
        self._left -= 1
        if self._left or self.done.done():  # whoever sent them may have stopped waiting
            return
        if self._fault is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(EventLogUnavailable(f"Kafka: {self._fault.str()}"))


def _give_up(done: "asyncio.Future[None]") -> None:
    """Called when librdkafka should have reported everything."""
    if not done.done():
        done.set_exception(EventLogUnavailable("the records were not acknowledged in time"))


@asynccontextmanager
async def open_event_log(
    bootstrap: str,
    client_id: str,
    *,
    timeout_s: float = 5.0,
    tireless: bool = False,
    topics: Collection[str] = (),
    linger_ms: float = 5.0,
    compression: str = "lz4",
) -> AsyncIterator[KafkaEventLog]:
    """The log for as long as the block lasts. Connects in the background: Kafka may be away when a service starts.

    `topics` are those whose absence `check` reports. `timeout_s` is how long a record may wait, but for a `tireless`
    log, and how long the end waits for what is under way.
    """
    event_log = KafkaEventLog(
        bootstrap,
        {
            **base_config(bootstrap, client_id),
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": linger_ms,
            "compression.type": compression,
            "partitioner": "murmur2_random",  # as Java's clients partition, so that all agree on a profile's place
            "message.max.bytes": RECORD_BYTES,
            "message.timeout.ms": 0 if tireless else int(timeout_s * 1000),
            "queue.buffering.max.messages": _QUEUE_RECORDS,
            "queue.buffering.max.kbytes": _QUEUE_KIB,
        },
        timeout_s,
        topics,
    )
    try:
        yield event_log
    finally:
        await event_log.close()
