"""Keying a stream of (key, value) rows in Java, so that an event crosses into Python once and not twice.

PyFlink's own `key_by` runs a Python function before the one that is keyed. This module does what `key_by` does with the
rows that the Kafka source gives already, by PyFlink's internals: it belongs to the Flink version that pyproject.toml
pins, and tests/integration/jobs/test_keying.py runs it.
"""

from pyflink.common import Row, Types
from pyflink.datastream import DataStream, KeyedStream
from pyflink.java_gateway import get_gateway

KEY_VALUE = Types.ROW([Types.STRING(), Types.STRING()])


def key_by_function(stream: DataStream) -> KeyedStream:
    """The same by PyFlink's public interface; a keyed function is given the whole row."""
    return stream.key_by(_first_field, Types.STRING())


def _first_field(row: Row) -> str:
    key: str = row[0]
    return key


def key_by_first_field(stream: DataStream) -> KeyedStream:
    """A stream of `KEY_VALUE` rows, keyed by its first field; a keyed function is given the second."""
    jvm = get_gateway().jvm
    selector = jvm.org.apache.flink.streaming.api.functions.python.KeyByKeySelector()
    key_type = Types.ROW([Types.STRING()]).get_java_type_info()
    keyed = stream._j_data_stream.keyBy(selector, key_type)  # noqa: SLF001  see above
    return KeyedStream(keyed, Types.STRING(), stream)
