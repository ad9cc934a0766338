"""The job's graph: Kafka in, one Python operator, Kafka out. All but that operator runs in Java.

Effects are at least once, and made once by what reads them: every profile record is absolute and carries a version.
"""

from typing import Final

from pyflink.common import Types
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from audience.adapters.kafka.address import parse
from audience.wire import topics
from flink_jobs.rule_evaluation.keying import KEY_VALUE, key_by_first_field, key_by_function
from flink_jobs.rule_evaluation.operator import DEFINITIONS, EvaluateRules, EvaluateRulesOfRows
from flink_jobs.rule_evaluation.settings import JobSettings

JOB_NAME: Final = "rule_evaluation"
OUTPUTS: Final = (topics.MEMBERSHIPS, topics.PROFILES, topics.EVENTS_BAD, topics.REPLIES)
_OUTPUT = Types.ROW_NAMED(["topic", "record_key", "record_value"], [Types.STRING()] * 3)
_READER_CLOSE_MS: Final = 2_000
"""How long a reader may take to close. Flink's default of 30 s holds up every failover while a broker is away."""
_SINK_BATCH_BYTES: Final = 256 * 1024
"""The client's 16 KiB would be full, and sent, long before `sink_linger_ms` is over."""
_RAW = (
    "'key.format' = 'raw', 'key.fields' = 'record_key', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY'"
)


def build(env: StreamExecutionEnvironment, settings: JobSettings) -> None:
    """Put the job into `env`."""
    tables = StreamTableEnvironment.create(env)
    tables.get_config().set("table.exec.uid.generation", "ALWAYS")
    inputs = _source(
        tables, settings, "profile_inputs", topics.EVENTS, topics.COMMANDS, topics.PROFILE_LISTS, behind_offset=True
    )
    definitions = _source(tables, settings, "definitions", *topics.DEFINED_IN)
    by_function = settings.keying == "python"
    keyed = key_by_function(inputs) if by_function else key_by_first_field(inputs)
    operator = (EvaluateRulesOfRows if by_function else EvaluateRules)(settings)
    evaluated = (
        keyed.connect(definitions.broadcast(DEFINITIONS))
        .process(operator, _OUTPUT)
        .name("evaluate rules")
        .uid("evaluate-rules")
    )
    _sink(tables, settings, evaluated)


def _source(
    tables: StreamTableEnvironment, settings: JobSettings, name: str, *names: str, behind_offset: bool = False
) -> DataStream:
    """Rows of key and value. `behind_offset`: with the record's offset and a space before the value, so that both cross
    into Python at once."""
    tables.execute_sql(
        f"""CREATE TEMPORARY TABLE {name} (
                record_key STRING, record_value STRING, record_offset BIGINT METADATA FROM 'offset' VIRTUAL) WITH (
            'connector' = 'kafka', 'topic' = '{";".join(names)}', {_RAW},
            {_connection(settings)},
            'properties.group.id' = '{settings.consumer_group}',
            'properties.source.reader.close.timeout' = '{_READER_CLOSE_MS}',
            'scan.startup.mode' = 'earliest-offset')"""
    )
    value = "CONCAT(CAST(record_offset AS STRING), ' ', record_value)" if behind_offset else "record_value"
    rows = tables.sql_query(f"SELECT record_key, {value} FROM {name}")  # noqa: S608  of constants of this module
    return tables.to_append_stream(rows, KEY_VALUE)


def _connection(settings: JobSettings) -> str:
    """How Kafka is reached, as options of a table."""
    options = parse(settings.kafka_bootstrap_servers).java()
    return ", ".join(f"'properties.{name}' = '{value}'" for name, value in options.items())


def _sink(tables: StreamTableEnvironment, settings: JobSettings, records: DataStream) -> None:
    tables.execute_sql(
        f"""CREATE TEMPORARY TABLE outputs (
                topic STRING NOT NULL METADATA, record_key STRING, record_value STRING) WITH (
            'connector' = 'kafka', 'topic' = '{";".join(OUTPUTS)}', {_RAW},
            {_connection(settings)},
            'properties.compression.type' = '{settings.sink_compression}',
            'properties.linger.ms' = '{settings.sink_linger_ms}',
            'properties.batch.size' = '{_SINK_BATCH_BYTES}',
            'sink.delivery-guarantee' = 'at-least-once')"""
    )
    statements = tables.create_statement_set()
    statements.add_insert("outputs", tables.from_data_stream(records))
    statements.attach_as_datastream()
