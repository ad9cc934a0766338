"""DuckDB over the lake's tables, each as it was when the connection first asked for it.

Files of a local lake are read by DuckDB itself, those on S3 through Arrow and the tables' own library, so that nothing
has to be installed into DuckDB. Refuses to take more memory, threads or time than it was given.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from audience.adapters.lake.tables import PARTITIONED_BY, SCHEMAS, LakeLocation, as_unavailable
from audience.ports.lake import LakeTooSlow, LakeUnavailable

_ROWS: Final = 4_096
_DUCK_TYPES: Final = {pa.date32(): "DATE", pa.int32(): "INTEGER"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a connection may use. `threads` 0: as many as there are cores."""

    memory_mb: int = 512
    threads: int = 0
    temporary_mb: int = 4_096


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of a table: its address, its rows, its partition's values and its columns' least and greatest values."""

    address: str
    rows: int
    facts: dict[str, Any]


Wanted = Callable[[DataFile], bool]


class BadQuery(Exception):
    """A person's SQL cannot be run; the message is DuckDB's."""


class Duck:
    """A connection. Not for several threads at a time, but for `interrupt`."""

    def __init__(self, location: LakeLocation, bounds: Bounds) -> None:
        self._location = location
        self._temporary = tempfile.TemporaryDirectory(prefix="audience-lake-")
        config: dict[str, Any] = {
            "memory_limit": f"{bounds.memory_mb}MB",
            "temp_directory": self._temporary.name,
            "max_temp_directory_size": f"{bounds.temporary_mb}MB",
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        if bounds.threads:
            config["threads"] = bounds.threads
        self.connection = duckdb.connect(config=config)
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute("SET enable_progress_bar = false")
        self._tables: dict[str, DeltaTable | None] = {}
        self._names = 0

    def close(self) -> None:
        """Give everything back."""
        self.connection.close()
        self._temporary.cleanup()

    def refresh(self) -> None:
        """Look at the tables as they are now."""
        for name, table in self._tables.items():
            if table is None:
                self._tables[name] = self._location.open(name)
            else:
                with as_unavailable():
                    table.update_incremental()

    def table(self, name: str) -> DeltaTable | None:
        """The table as it was when it was first asked for; None where there is none."""
        if name not in self._tables:
            self._tables[name] = self._location.open(name)
        return self._tables[name]

    def files(self, name: str) -> list[DataFile]:
        """The table's files."""
        table = self.table(name)
        if table is None:
            return []
        with as_unavailable():
            found = pa.table(table.get_add_actions(flatten=True)).to_pylist()
        prefix = self._location.of(name)
        return [DataFile(f"{prefix}/{each['path']}", each["num_records"] or 0, each) for each in found]

    def source(self, name: str, wanted: Wanted | None = None) -> str:
        """SQL that stands for the table behind FROM: of its files at least those that are wanted."""
        table = self.table(name)
        if table is not None and not self._location.is_local:
            self._names += 1
            view = f"lake_{self._names}"
            with as_unavailable():
                self.connection.register(view, table.to_pyarrow_dataset())
            return view
        files = [each for each in self.files(name) if wanted is None or wanted(each)]
        if not files:
            self._names += 1
            empty = f"empty_{self._names}"
            self.connection.register(empty, SCHEMAS[name].empty_table())
            return empty
        listed = ", ".join(literal(each.address) for each in files)
        parts = PARTITIONED_BY.get(name)
        if not parts:
            return f"read_parquet([{listed}])"
        types = ", ".join(f"'{part}': {_DUCK_TYPES[SCHEMAS[name].field(part).type]}" for part in parts)
        return f"read_parquet([{listed}], hive_partitioning = true, hive_types = {{{types}}})"

    def arrow(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """The answer as a table. Raises LakeTooSlow, LakeUnavailable."""
        with as_answers():
            found: pa.Table = self.connection.sql(sql, params=list(parameters)).to_arrow_table()
            return found

    def answer(self, sql: str, most: int) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The columns and at most `most` rows of a person's query. Raises BadQuery, LakeTooSlow, LakeUnavailable."""
        try:
            with as_answers():
                relation: Any = self.connection.sql(sql)
                if relation is None:  # what gives no rows, whatever its types say
                    return [], []
                # As text: times with a zone would need one more library.
                texts = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}"::VARCHAR' for name in relation.columns)
                return relation.columns, relation.project(texts).limit(most).fetchall()
        except duckdb.Error as error:
            raise BadQuery(str(error)) from error

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Do it. Raises as `arrow`."""
        with as_answers():
            self.connection.execute(sql, list(parameters))

    def rows(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """The answer's rows, fetched as they are wanted; nothing else may be asked meanwhile. Raises as `arrow`."""
        self.run(sql)
        while True:
            with as_answers():
                some = self.connection.fetchmany(_ROWS)
            if not some:
                return
            yield from some

    def offer(self, names: Mapping[str, str]) -> None:
        """Make a view of each table under a name of its own, and close all else: no file but the lake's can be read,
        none written, and no setting changed."""
        for table, name in names.items():
            self.run(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM {self.source(table)}")
        if self._location.is_local:
            self.run(f"SET allowed_directories = [{literal(str(Path(self._location.of('')).resolve()))}]")
        self.run("SET enable_external_access = false")
        self.run("SET lock_configuration = true")

    @contextmanager
    def until(self, deadline_s: float) -> Iterator[None]:
        """Interrupt what runs in the block at this instant of the monotonic clock: it then raises LakeTooSlow."""
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise LakeTooSlow("there is no time left")
        timer = threading.Timer(left_s, self.connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


@contextmanager
def open_duck(location: LakeLocation, bounds: Bounds) -> Iterator[Duck]:
    """A connection for as long as the block lasts."""
    duck = Duck(location, bounds)
    try:
        yield duck
    finally:
        duck.close()


@contextmanager
def as_answers() -> Iterator[None]:
    """Raise DuckDB's errors as ours; a fault in our SQL stays its own."""
    try:
        yield
    except (duckdb.InterruptException, duckdb.OutOfMemoryException) as error:
        raise LakeTooSlow(str(error)) from error
    except duckdb.IOException as error:
        raise LakeUnavailable(str(error)) from error


def literal(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"
