"""The rows of a CSV, JSON Lines or Parquet file, on this machine or on S3, one after the other in bounded memory."""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TextIO

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from services.operations.importing.mapping import Row

Format = Literal["csv", "jsonl", "parquet"]
_ENDINGS: Final[dict[str, Format]] = {
    ".csv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet",
}  # fmt: skip
_BATCH: Final = 10_000

Tell = Callable[[int], None]
"""Is told how many bytes of the file have been read."""


class NotReadable(Exception):
    """The file cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file: its address and how it is written."""

    address: str
    form: Format
    encoding: str = "utf-8"
    delimiter: str = ","

    @classmethod
    def of(cls, address: str, form: Format | None, encoding: str, delimiter: str) -> "Source":
        """`form` None: as the file's name ends. Raises NotReadable."""
        found = form or next((kind for end, kind in _ENDINGS.items() if address.lower().endswith(end)), None)
        if found is None:
            raise NotReadable(f"{address} ends with none of {', '.join(_ENDINGS)}: say which --format it has")
        return cls(address, found, encoding, delimiter)

    def _open(self) -> tuple[fs.FileSystem, str]:
        if "://" in self.address:
            system, path = fs.FileSystem.from_uri(self.address)
            return system, path
        return fs.LocalFileSystem(), self.address

    def size_bytes(self) -> int:
        """Raises NotReadable."""
        try:
            system, path = self._open()
            found = system.get_file_info(path)
        except (OSError, pa.ArrowException) as error:
            raise NotReadable(f"{self.address}: {error}") from error
        if found.type != fs.FileType.File:
            raise NotReadable(f"there is no file {self.address}")
        return int(found.size or 0)

    def rows(self, tell: Tell) -> Iterator[tuple[int, Row | Exception]]:
        """Each row with its number, from 1; what is no row, as the reason. Raises NotReadable."""
        try:
            system, path = self._open()
            if self.form == "parquet":
                yield from _parquet(system, path, tell)
                return
            with system.open_input_stream(path, buffer_size=1 << 20) as stream:
                text = io.TextIOWrapper(
                    io.BufferedReader(_Counted(stream, tell), 1 << 20), encoding=self.encoding, newline=""
                )
                yield from _csv(text, self.delimiter) if self.form == "csv" else _jsonl(text)
        except (OSError, pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
            raise NotReadable(f"{self.address}: {error}") from error


class _Counted(io.RawIOBase):
    """A stream that tells how far it has been read."""

    def __init__(self, stream: Any, tell: Tell) -> None:
        super().__init__()
        self._stream = stream
        self._tell = tell
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._read += len(data)
        self._tell(self._read)
        return len(data)


def _csv(text: TextIO, delimiter: str) -> Iterator[tuple[int, Row | Exception]]:
    reader = csv.reader(text, delimiter=delimiter)
    header = [name.strip().removeprefix("\ufeff") for name in next(reader, [])]
    for number, values in enumerate(reader, 1):
        if not values:
            continue
        if len(values) != len(header):
            yield number, ValueError(f"it has {len(values)} values, the header {len(header)}")
        else:
            yield number, dict(zip(header, values, strict=True))


def _jsonl(text: TextIO) -> Iterator[tuple[int, Row | Exception]]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            yield number, decode(line)
        except (msgspec.MsgspecError, RecursionError) as error:
            yield number, error


def _parquet(system: fs.FileSystem, path: str, tell: Tell) -> Iterator[tuple[int, Row | Exception]]:
    with system.open_input_file(path) as file:
        parquet = pq.ParquetFile(file)
        number, total, size = 0, max(1, parquet.metadata.num_rows), file.size()
        for batch in parquet.iter_batches(_BATCH):
            for row in batch.to_pylist():
                number += 1
                yield number, row
            tell(size * number // total)
