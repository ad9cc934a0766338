"""The platform's topics as data, their creation, and how far behind a consumer group is.

Creating is idempotent and never changes a topic that is there: partitions cannot shrink, and growing them would move
profiles to other partitions in the middle of their history.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # public, but its types do not say so

from audience.adapters.kafka.driver import code_of
from audience.adapters.kafka.offsets import TIMEOUT_S, Asking, answer, open_admin
from audience.adapters.kafka.producer import RECORD_BYTES
from audience.ports.evaluation import Positions
from audience.ports.event_log import EventLogUnavailable
from audience.wire import topics as names

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 24 * 60 * _MINUTE_MS


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is created. `retention_ms` None: compacted, the newest record of each key is kept for ever.

    `by_profile`: spread over the partitions that the settings ask for; otherwise one partition holds all in order.
    """

    name: str
    by_profile: bool
    retention_ms: int | None
    large: bool = False
    """Whether its records may be as large as the producer lets them be, rather than Kafka's default of 1 MiB."""


TOPICS: Final = (
    # Explain and the Profile API read the last 14 days from here; the lake keeps the rest.
    Topic(names.EVENTS, by_profile=True, retention_ms=30 * _DAY_MS),
    Topic(names.EVENTS_BAD, by_profile=False, retention_ms=30 * _DAY_MS, large=True),
    # One partition: the jobs then read definitions in the order of their revisions.
    Topic(names.SEGMENTS, by_profile=False, retention_ms=None),
    Topic(names.MEMBERSHIPS, by_profile=True, retention_ms=30 * _DAY_MS),
    Topic(names.PROFILES, by_profile=True, retention_ms=None, large=True),
    Topic(names.PROFILE_LISTS, by_profile=True, retention_ms=None),
    Topic(names.COMPUTED_TRAITS, by_profile=False, retention_ms=None),
    # Parts of histories have to outlive a job that is away; questions and answers live for seconds.
    Topic(names.COMMANDS, by_profile=True, retention_ms=_DAY_MS),
    Topic(names.REPLIES, by_profile=False, retention_ms=10 * _MINUTE_MS),
    Topic(names.EPOCHS, by_profile=False, retention_ms=None),
)
_NAMES: Final = tuple(each.name for each in TOPICS)


def _config(topic: Topic, replicas: int) -> dict[str, str]:
    config = {"min.insync.replicas": "2" if replicas > 2 else "1"}
    if topic.large:
        config["max.message.bytes"] = str(RECORD_BYTES)
    if topic.retention_ms is not None:
        return {**config, "cleanup.policy": "delete", "retention.ms": str(topic.retention_ms)}
    return {
        **config,
        "cleanup.policy": "compact",
        "delete.retention.ms": str(7 * _DAY_MS),  # a reader that was away for days still sees what was deleted
        "min.cleanable.dirty.ratio": "0.2",
        "segment.ms": str(_DAY_MS),
    }


def create_topics(bootstrap: str, *, partitions: int, replicas: int, topics: Sequence[Topic] = TOPICS) -> list[str]:
    """Create the topics that are missing; gives their names. Blocks. Raises EventLogUnavailable."""
    wanted = [
        NewTopic(
            topic.name,
            num_partitions=partitions if topic.by_profile else 1,
            replication_factor=replicas,
            config=_config(topic, replicas),
        )
        for topic in topics
    ]
    admin = open_admin(bootstrap)
    created = []
    for name, future in admin.create_topics(wanted, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S).items():
        try:
            answer(future)
        except KafkaException as error:
            if code_of(error) != KafkaError.TOPIC_ALREADY_EXISTS:
                raise EventLogUnavailable(f"topic {name} cannot be created: {error}") from error
        else:
            created.append(name)
    return created


def lag(bootstrap: str, groups: Sequence[str], topics: Sequence[str] = _NAMES) -> dict[str, int]:
    """How many records each group has yet to read, over those topics it has committed to; a new group is left out.

    Questions to the job do not count: they change nothing, and freshness asks one every second.
    Blocks. Raises EventLogUnavailable.
    """
    asking = Asking(bootstrap)
    try:
        committed = zip(groups, asking.committed(groups, topics), strict=True)
        present = {group: offsets for group, offsets in committed if offsets}
        ends = asking.ends({topic for offsets in present.values() for topic, _ in offsets})
    finally:
        asking.close()
    return {group: _behind(offsets, ends) for group, offsets in present.items()}


def _behind(committed: Positions, ends: Mapping[tuple[str, int], tuple[int, int]]) -> int:
    topics = {topic for topic, _ in committed} - {names.COMMANDS}
    return sum(
        max(0, last - max(first, committed.get(place, first)))
        for place, (first, last) in ends.items()
        if place[0] in topics
    )
