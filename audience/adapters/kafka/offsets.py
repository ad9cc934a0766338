"""Where topics begin and end, and what consumer groups have committed."""

import concurrent.futures
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # as in admin.py

from audience.adapters.kafka.driver import base_config
from audience.ports.evaluation import Positions
from audience.ports.event_log import EventLogUnavailable

T = TypeVar("T")

TIMEOUT_S: Final = 15.0
_OVERDUE_S: Final = 5.0


def open_admin(bootstrap: str) -> AdminClient:
    """A client that asks; it connects when it is first used."""
    return AdminClient({**base_config(bootstrap, "audience-admin"), "socket.timeout.ms": int(TIMEOUT_S * 1000)})


class Asking:
    """Asks Kafka, again and again; for one thread at a time. After a fault the clients are new ones: see `answer`.

    Blocks. Every call raises EventLogUnavailable.
    """

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._admin = open_admin(bootstrap)
        self._members: dict[str, Consumer] = {}

    def ends(self, topics: Iterable[str]) -> dict[tuple[str, int], tuple[int, int]]:
        """The first and the next offset of every partition of the topics."""
        return self._ask(lambda: self._ends(topics))

    def committed(self, groups: Sequence[str], topics: Iterable[str]) -> list[Positions]:
        """What each group has committed in these topics; nothing where there is no such group."""
        return self._ask(lambda: self._committed(groups, topics))

    def _ends(self, topics: Iterable[str]) -> dict[tuple[str, int], tuple[int, int]]:
        partitions = self._partitions(topics)
        if not partitions:
            return {}
        first, last = (
            self._admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=TIMEOUT_S)
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
        )
        return {(part.topic, part.partition): (answer(first[part]).offset, answer(last[part]).offset) for part in last}

    def _committed(self, groups: Sequence[str], topics: Iterable[str]) -> list[Positions]:
        partitions = self._partitions(topics)
        found = [self._member(group).committed(partitions, timeout=TIMEOUT_S) for group in groups]
        return [{(part.topic, part.partition): part.offset for part in each if part.offset >= 0} for each in found]

    def _member(self, group: str) -> Consumer:
        # A consumer that never joins the group. What the admin client has for this ends the process now and then
        # (librdkafka, a null pointer in rdk:main), as far as was seen on new brokers alone.
        if group not in self._members:
            connection = base_config(self._bootstrap, "audience-offsets")
            self._members[group] = Consumer({**connection, "group.id": group, "enable.auto.commit": False})
        return self._members[group]

    def _partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        return [
            TopicPartition(topic, partition)
            for topic in topics
            for partition in self._admin.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
        ]

    def close(self) -> None:
        """Let the connections go; the next question opens new ones."""
        members, self._members = self._members, {}
        for member in members.values():
            member.close()

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except KafkaException as error:
            self._admin = open_admin(self._bootstrap)
            self.close()
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
