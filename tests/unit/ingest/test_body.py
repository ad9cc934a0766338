"""Reading bodies: in pieces, packed, with limits that hold while they come in."""

import gzip
import zlib
from collections.abc import Iterable, Iterator

import pytest
from starlette.types import Message

from services._kit.errors import ApiError
from services.ingest.body import ClientGone, read_body

LIMIT = 1000


class Client:
    """Sends pieces; counts how many were asked for."""

    def __init__(self, pieces: Iterable[bytes], *, goes_away: bool = False) -> None:
        self._pieces: Iterator[bytes] = iter(pieces)
        self._next = next(self._pieces, b"")
        self._goes_away = goes_away
        self.asked = 0

    async def receive(self) -> Message:
        self.asked += 1
        piece, following = self._next, next(self._pieces, None)
        if self._goes_away and following is None:
            return {"type": "http.disconnect"}
        self._next = following or b""
        return {"type": "http.request", "body": piece, "more_body": following is not None}


async def read(client: Client, encoding: bytes = b"", length: bytes | None = None) -> bytes:
    held: list[int] = []
    body = await read_body(client.receive, encoding, length, LIMIT, held.append)
    assert sum(held) == len(body)
    return body


async def refused(client: Client, encoding: bytes = b"", length: bytes | None = None) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        await read(client, encoding, length)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("pieces", [[b"abc"], [b"a", b"b", b"c"], [b"", b"abc", b""], [b"x" * LIMIT], []])
@pytest.mark.parametrize("encoding", [b"", b"identity"])
async def test_plain(pieces: list[bytes], encoding: bytes) -> None:
    assert await read(Client(pieces), encoding) == b"".join(pieces)


async def test_a_body_that_says_that_it_is_too_large_is_not_read() -> None:
    client = Client([b"x"])
    assert await refused(client, length=b"1001") == (413, "too_large")
    assert client.asked == 0


async def test_a_body_that_grows_too_large_is_not_read_on() -> None:
    client = Client(b"x" * 400 for _ in range(1_000_000))
    assert await refused(client) == (413, "too_large")
    assert client.asked == 3


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("body", [b"", b"abc", bytes(range(250)) * 4])
async def test_gzip_in_pieces(body: bytes, size: int) -> None:
    packed = gzip.compress(body)
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert await read(Client(pieces), b"gzip") == body


async def test_gzip_of_several_members() -> None:
    packed = gzip.compress(b"abc", mtime=0) + gzip.compress(b"", mtime=0) + gzip.compress(b"def", mtime=0)
    assert await read(Client([packed]), b"gzip") == b"abcdef"
    assert await read(Client([packed[:30], packed[30:]]), b"gzip") == b"abcdef"


async def test_a_bomb_is_refused_while_it_swells() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    first = bomb.compress(b"\0" * 50_000_000) + bomb.flush(zlib.Z_SYNC_FLUSH)
    assert len(first) < 60_000
    client = Client(first for _ in range(1_000_000))
    assert await refused(client, b"gzip") == (413, "too_large")
    assert client.asked == 1


async def test_packed_bytes_that_unpack_to_nothing_end_as_well() -> None:
    empty = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    head = empty.compress(b"") + empty.flush(zlib.Z_FULL_FLUSH)
    block = b"\x00\x00\x00\xff\xff" * 1_000
    client = Client([head, *(block for _ in range(100_000))])
    assert await refused(client, b"gzip") == (413, "too_large")
    assert client.asked < 20
    assert await refused(Client([gzip.compress(b"", mtime=0) * 200]), b"gzip") == (400, "invalid_gzip")


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"x",
        b"{}",
        gzip.compress(b"abc", mtime=0)[:-1],
        gzip.compress(b"abc", mtime=0)[:12],
        gzip.compress(b"abc", mtime=0)[:-8] + b"12345678",
        gzip.compress(b"a", mtime=0) + b"x",
        zlib.compress(b"a"),
    ],
)
async def test_broken_gzip(packed: bytes) -> None:
    assert await refused(Client([packed]), b"gzip") == (400, "invalid_gzip")


@pytest.mark.parametrize("encoding", [b"br", b"deflate", b"zstd", b"gzip, gzip", b"\xff"])
async def test_other_codings(encoding: bytes) -> None:
    assert await refused(Client([b"x"]), encoding) == (400, "unsupported_encoding")


@pytest.mark.parametrize("encoding", [b"", b"gzip"])
async def test_a_client_that_goes_away(encoding: bytes) -> None:
    with pytest.raises(ClientGone):
        await read(Client([gzip.compress(b"abc", mtime=0)[:5], b"", b""], goes_away=True), encoding)
