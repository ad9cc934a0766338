"""A tiny job in the real one's place, for tests of `local` alone: counts what it reads of topic `events`.

Its state is the count of each key, so that a lost checkpoint shows; it writes ``key count`` to topic `memberships`.
"""

import os

from pyflink.common import SimpleStringSchema, Types, WatermarkStrategy
from pyflink.datastream import KeyedProcessFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from pyflink.datastream.state import ValueStateDescriptor

BOOTSTRAP = os.environ["AUDIENCE_KAFKA_BOOTSTRAP_SERVERS"]


class Count(KeyedProcessFunction):
    """Gives ``key count`` for each record."""

    def open(self, runtime_context: RuntimeContext) -> None:
        self._count = runtime_context.get_state(ValueStateDescriptor("count", Types.LONG()))

    def process_element(self, value, ctx):  # noqa: ARG002  Flink calls it so
        count = (self._count.value() or 0) + 1
        self._count.update(count)
        yield f"{value} {count}"


environment = StreamExecutionEnvironment.get_execution_environment()
source = (
    KafkaSource.builder()
    .set_bootstrap_servers(BOOTSTRAP)
    .set_topics("events")
    .set_group_id("rule-evaluation")
    .set_starting_offsets(KafkaOffsetsInitializer.earliest())
    # A task that is cancelled waits so long for its reader, 30 s by default: after a failure nothing runs until then.
    .set_property("source.reader.close.timeout", "2000")
    .set_value_only_deserializer(SimpleStringSchema())
    .build()
)
sink = (
    KafkaSink.builder()
    .set_bootstrap_servers(BOOTSTRAP)
    .set_record_serializer(
        KafkaRecordSerializationSchema.builder()
        .set_topic("memberships")
        .set_value_serialization_schema(SimpleStringSchema())
        .build()
    )
    .build()
)
(
    environment.from_source(source, WatermarkStrategy.no_watermarks(), "events")
    .uid("events")
    .key_by(lambda value: value, key_type=Types.STRING())
    .process(Count(), output_type=Types.STRING())
    .uid("count")
    .sink_to(sink)
    .uid("counts")
)
environment.execute("stand_in")
