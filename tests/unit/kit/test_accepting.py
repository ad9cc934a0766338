"""A crowd that comes while the loop is busy is taken in a few of its turns, not in one turn each."""

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from services._kit import accepting
from services._kit.accepting import CrowdLoop

CROWD = 100
TURNS = 10


class Line(asyncio.Protocol):
    """A connection, counted; answers with what it is sent."""

    made: int = 0

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]  # as it is
        Line.made += 1
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@contextmanager
def crowd(address: tuple[str, int]) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(address)) for _ in range(CROWD)]


async def taken(turns: int) -> int:
    """How many of a crowd that waits are connections after so many turns of the loop."""
    Line.made = 0
    server = await asyncio.get_running_loop().create_server(Line, "127.0.0.1", 0, backlog=CROWD)
    async with server:
        with crowd(server.sockets[0].getsockname()) as clients:
            for _ in range(turns):
                await asyncio.sleep(0)
            made = Line.made
            while Line.made < CROWD:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            loop = asyncio.get_running_loop()
            for client in clients:
                client.setblocking(False)
                client.send(b"hello")
            answers = [await loop.sock_recv(client, 5) for client in clients]
    assert answers == [b"hello"] * CROWD
    return made


def run(turns: int) -> int:
    with asyncio.Runner(loop_factory=CrowdLoop) as runner:
        return runner.run(taken(turns))


def test_a_crowd_is_taken_at_once() -> None:
    assert run(TURNS) == CROWD


def test_a_crowd_is_shared_with_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "AT_ONCE", 1)
    assert run(TURNS) <= 2 * TURNS


def test_a_server_that_is_closed_takes_none() -> None:
    async def close() -> tuple[str, int]:
        server = await asyncio.get_running_loop().create_server(Line, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        with crowd(address[:2]):
            await asyncio.sleep(0.1)
        server.close()
        await server.wait_closed()
        return address[:2]

    with asyncio.Runner(loop_factory=CrowdLoop) as runner:
        address = runner.run(close())
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=5)


def test_tls(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(  # noqa: S603
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",  # noqa: S607
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    ours, theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context(cafile=certificate)
    ours.load_cert_chain(certificate, key)

    async def say(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("localhost", port, ssl=theirs)
        writer.write(b"hello")
        answer = await reader.readexactly(5)
        writer.close()
        return answer

    async def talk() -> list[bytes]:
        server = await asyncio.get_running_loop().create_server(Line, "127.0.0.1", 0, ssl=ours, backlog=CROWD)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with socket.create_connection(("127.0.0.1", port)) as gone:
                gone.send(b"this is not TLS")
            return await asyncio.gather(*(say(port) for _ in range(20)))

    with asyncio.Runner(loop_factory=CrowdLoop) as runner:
        assert runner.run(talk()) == [b"hello"] * 20
