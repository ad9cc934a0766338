"""A request's body, whole and unpacked, with the limit on its size enforced while it comes in.

The unpacked bytes count, so a gzip bomb is refused as soon as it has swelled past the limit, not after. Refuses other
codings than gzip, and gzip that is broken or cut.
"""

import zlib
from collections.abc import Callable
from typing import Final

from starlette.types import Receive

from services._kit.errors import ApiError

_GZIP: Final = zlib.MAX_WBITS | 16
_PACKING_ROOM: Final = 64 * 1024
"""By so much may packed bytes exceed the limit: gzip makes what cannot be packed a little larger."""


_MEMBERS: Final = 100
"""gzip may be a series of members, each with its cost however empty it is; clients send one."""


class ClientGone(Exception):
    """The client went away before its request was complete; nobody waits for an answer."""


Hold = Callable[[int], None]
"""Told of every byte that is kept. Raises ApiError where there is no room for it."""


async def read_body(receive: Receive, encoding: bytes, length: bytes | None, limit_bytes: int, hold: Hold) -> bytes:
    """The body of a request with these headers. Raises ApiError (400, 413, and what `hold` raises), ClientGone."""
    coding = encoding.strip().lower()
    if coding in {b"", b"identity"}:
        if length is not None and length.isdigit() and int(length) > limit_bytes:
            raise too_large(limit_bytes)
        return await _read_plain(receive, limit_bytes, hold)
    if coding in {b"gzip", b"x-gzip"}:
        return await _read_gzip(receive, limit_bytes, hold)
    raise ApiError(400, "unsupported_encoding", "the body may be packed with gzip, or not at all")


async def _chunk(receive: Receive) -> tuple[bytes, bool]:
    """The next piece of the body, and whether more follows."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)


async def _read_plain(receive: Receive, limit_bytes: int, hold: Hold) -> bytes:
    body, more = await _chunk(receive)
    hold(len(body))
    if more:
        chunks, size = [body], len(body)
        while more and size <= limit_bytes:
            chunk, more = await _chunk(receive)
            hold(len(chunk))
            chunks.append(chunk)
            size += len(chunk)
        body = b"".join(chunks)
    if len(body) > limit_bytes:
        raise too_large(limit_bytes)
    return body


async def _read_gzip(receive: Receive, limit_bytes: int, hold: Hold) -> bytes:
    unpacked, packed_size, more = _Unpacker(limit_bytes), 0, True
    held = 0
    while more:
        chunk, more = await _chunk(receive)
        packed_size += len(chunk)
        if packed_size > limit_bytes + _PACKING_ROOM:
            raise too_large(limit_bytes)
        unpacked.feed(chunk)
        hold(unpacked.size - held)
        held = unpacked.size
    return unpacked.finish()


class _Unpacker:
    """gzip, of one member or several, never holding more than the limit and one byte."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._out = bytearray()
        self._member = zlib.decompressobj(_GZIP)
        self._members_left = _MEMBERS

    @property
    def size(self) -> int:
        """How much is unpacked."""
        return len(self._out)

    def feed(self, packed: bytes) -> None:
        while packed:
            if self._member.eof:
                self._members_left -= 1
                if not self._members_left:
                    raise broken(f"it has more than {_MEMBERS} members")
                self._member = zlib.decompressobj(_GZIP)
            try:
                self._out += self._member.decompress(packed, self._limit_bytes + 1 - len(self._out))
            except zlib.error as error:
                raise broken(str(error)) from error
            if len(self._out) > self._limit_bytes:
                raise too_large(self._limit_bytes)
            packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def finish(self) -> bytes:
        if not self._member.eof:
            raise broken("it is cut off")
        return bytes(self._out)


def too_large(limit_bytes: int) -> ApiError:
    """413: the body is larger than the limit."""
    return ApiError(413, "too_large", f"a body has at most {limit_bytes} bytes, unpacked")


def broken(words: str) -> ApiError:
    """400: the body says it is gzip, and is not."""
    return ApiError(400, "invalid_gzip", f"the body is not gzip: {words}")
