"""A number that grows with every start of an operator, whatever the clocks say: the offset of a record in a topic.

Kafka hands out an offset once and never takes it back, so that of two operators the one that asked later has the
greater epoch, even where the earlier one still runs.
"""

from confluent_kafka import KafkaException, Producer

from audience.adapters.kafka.driver import base_config
from audience.ports.event_log import EventLogUnavailable
from audience.wire.topics import EPOCHS

TIMEOUT_S = 30.0


def next_epoch(bootstrap: str) -> int:
    """A new epoch, from 1 on. Raises EventLogUnavailable where Kafka does not answer in time."""
    producer = Producer({**base_config(bootstrap, "rule-evaluation-epoch"), "acks": "all"})
    offsets: list[int] = []
    errors: list[object] = []

    def delivered(error: object, message: object) -> None:
        if error is None:
            offsets.append(message.offset())  # type: ignore[attr-defined]  # confluent_kafka has no types
        else:
            errors.append(error)

    try:
        producer.produce(EPOCHS, key=b"epoch", value=b"", partition=0, on_delivery=delivered)
        producer.flush(TIMEOUT_S)
    except (KafkaException, BufferError) as error:
        raise EventLogUnavailable(f"no epoch from {EPOCHS}: {error}") from error
    if not offsets:
        raise EventLogUnavailable(f"no epoch from {EPOCHS}: {errors or 'no answer in time'}")
    return offsets[0] + 1
