"""Exports: every member of a segment as a file, made while it is sent. Memory holds a batch, however many there are.

Refuses to wait for a client that does not take what is sent: past `SLOW_S` the answer is cut, so that a client never
takes half a file for a whole one, and the database's snapshot is given back.
"""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import msgspec
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from audience.ports.catalog import Segment
from audience.ports.memberships import Member, MembershipReads
from services.segments.answers import instant
from services.segments.sending import disconnected, send_piece

AT_ONCE: Final = 4
Format = Literal["csv", "jsonl", "parquet"]

FORMULA: Final = frozenset("=+-@\t\r\uff1d\uff0b\uff0d\uff20")
"""What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection"), full width included."""

_encode: Final = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Exports:
    """The exports that are under way in this process."""

    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    @property
    def free(self) -> bool:
        """Whether another one may begin."""
        return not self.places.locked()


class Encoder(Protocol):
    """Makes the bytes of a file of batches of members."""

    media_type: str

    def rows(self, members: Sequence[Member]) -> bytes: ...
    def end(self) -> bytes: ...


class CsvEncoder:
    """A header, then a line a member; an id that would be a formula gets an apostrophe before it."""

    media_type = "text/csv; charset=utf-8"

    def __init__(self) -> None:
        self._header = [("profile_id", "since")]

    def rows(self, members: Sequence[Member]) -> bytes:
        """The lines, behind the header the first time."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerows(self._header)
        self._header = []
        writer.writerows([(safe_cell(each.profile_id), instant(each.since_ms)) for each in members])
        return text.getvalue().encode()

    def end(self) -> bytes:
        """Nothing is left."""
        return b""


class JsonLinesEncoder:
    """An object a line."""

    media_type = "application/x-ndjson"

    def rows(self, members: Sequence[Member]) -> bytes:
        """The lines."""
        lines = [_encode({"profile_id": each.profile_id, "since": instant(each.since_ms)}) for each in members]
        return b"".join([line + b"\n" for line in lines])

    def end(self) -> bytes:
        """Nothing is left."""
        return b""


class ParquetEncoder:
    """A row group a batch; ``since`` is a timestamp in milliseconds, UTC."""

    media_type = "application/vnd.apache.parquet"

    def __init__(self) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._pa = pa
        self._schema = pa.schema([("profile_id", pa.string()), ("since", pa.timestamp("ms", tz="UTC"))])
        self._made = _Pieces()
        self._writer: Any = parquet.ParquetWriter(pa.PythonFile(self._made, "w"), self._schema, compression="zstd")

    def rows(self, members: Sequence[Member]) -> bytes:
        """The row group, behind the file's beginning the first time."""
        columns = [[each.profile_id for each in members], [each.since_ms for each in members]]
        if members:
            arrays = [self._pa.array(column, part.type) for column, part in zip(columns, self._schema, strict=True)]
            self._writer.write_table(self._pa.table(arrays, schema=self._schema))
        return self._made.take()

    def end(self) -> bytes:
        """The footer."""
        self._writer.close()
        return self._made.take()


class _Pieces(io.RawIOBase):
    """What was written since it was last taken."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # a buffer is what it gets
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


ENCODERS: Final[dict[Format, type[Encoder]]] = {
    "csv": CsvEncoder,
    "jsonl": JsonLinesEncoder,
    "parquet": ParquetEncoder,
}


def safe_cell(text: str) -> str:
    """A cell that no spreadsheet runs."""
    return f"'{text}" if text.lstrip(" ")[:1] in FORMULA and text.strip(" ") else text


class Export(Response):
    """The answer. Reads the members while it is sent."""

    def __init__(self, exports: Exports, members: MembershipReads, segment: Segment, form: Format, as_of: str) -> None:
        self._exports, self._members, self._segment, self._form = exports, members, segment, form
        super().__init__(
            headers={
                "As-Of": as_of,
                "Content-Disposition": f'attachment; filename="{segment.key}.{form}"',
                "Cache-Control": "no-store",
            },
            media_type=ENCODERS[form].media_type,
        )
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  as ASGI has it
        """Send the file. Raises StoreUnavailable before the first byte; cuts the answer where it fails later."""
        gone = asyncio.create_task(disconnected(receive))
        try:
            async with self._exports.places:
                await self._send(send, gone)
        finally:
            gone.cancel()

    async def _send(self, send: Send, gone: "asyncio.Task[None]") -> None:
        encoder = ENCODERS[self._form]()
        begin: Message | None = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        async with self._batches() as batches:
            async for batch in batches:
                if gone.done():
                    return
                if begin is not None:  # only now, so that a database that is away is 503
                    await send(begin)
                    begin = None
                await send_piece(send, await asyncio.to_thread(encoder.rows, batch))
        if begin is not None:
            await send(begin)
            await send_piece(send, encoder.rows(()))
        await send({"type": "http.response.body", "body": await asyncio.to_thread(encoder.end), "more_body": False})

    def _batches(self) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Member]]]:
        if not self._segment.evaluated:
            return nullcontext(_nobody())
        return self._members.all_members(self._segment.workspace, self._segment.key)


async def _nobody() -> AsyncIterator[Sequence[Member]]:
    empty: tuple[Sequence[Member], ...] = ()
    for batch in empty:
        yield batch
