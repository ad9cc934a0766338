"""Where topics begin and end, and what consumer groups have committed. Blocks; raises KafkaException."""

import concurrent.futures
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # as in admin.py

from audience.adapters.kafka.driver import base_config, code_of
from audience.ports.evaluation import Positions
from audience.ports.event_log import EventLogUnavailable

T = TypeVar("T")

TIMEOUT_S: Final = 15.0
_OVERDUE_S: Final = 5.0


def open_admin(bootstrap: str) -> AdminClient:
    """A client that asks; it connects when it is first used."""
    return AdminClient({**base_config(bootstrap, "audience-admin"), "socket.timeout.ms": int(TIMEOUT_S * 1000)})


class Asking:
    """Asks Kafka, again and again; for one thread at a time. After a fault the client is a new one: see `answer`."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._admin = open_admin(bootstrap)

    def ask(self, question: Callable[[AdminClient], T]) -> T:
        """What the question gives. Blocks. Raises EventLogUnavailable."""
        try:
            return question(self._admin)
        except KafkaException as error:
            self._admin = open_admin(self._bootstrap)
            raise EventLogUnavailable(f"Kafka: {error.args[0].str()}") from error


def answer(future: "concurrent.futures.Future[Any]") -> Any:
    """What an admin call gave. Raises KafkaException, also where the client has lost the call.

    Its own time limit does not hold for a call that was under way when the broker died: nothing ends that. The client
    may answer none from then on, so it should be opened anew.
    """
    try:
        return future.result(TIMEOUT_S + _OVERDUE_S)
    except concurrent.futures.TimeoutError as error:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the client gave no answer in time")) from error  # noqa: SLF001  it has no public name


def committed_by(admin: AdminClient, group: str) -> Positions:
    """What a group has committed; nothing where there is no such group."""
    [future] = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group)], request_timeout=TIMEOUT_S
    ).values()
    try:
        found = answer(future).topic_partitions or ()
    except KafkaException as error:
        if code_of(error) == KafkaError.GROUP_ID_NOT_FOUND:
            return {}
        raise
    return {(part.topic, part.partition): part.offset for part in found if part.offset >= 0}


def ends_of(admin: AdminClient, topics: Iterable[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """The first and the next offset of every partition of the topics."""
    partitions = [
        TopicPartition(topic, partition)
        for topic in topics
        for partition in admin.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
    ]
    if not partitions:
        return {}
    first, last = (
        admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=TIMEOUT_S)
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
    )
    return {(part.topic, part.partition): (answer(first[part]).offset, answer(last[part]).offset) for part in last}
