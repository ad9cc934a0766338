"""An event loop that takes a crowd of new connections at once.

libuv takes one a turn of its loop (libuv pull request 3696). A turn takes half a second where hundreds of connections
have work, so that newcomers would wait for minutes, and not even be refused.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast

import structlog
import uvloop

log = structlog.stdlib.get_logger(__name__)

AT_ONCE: Final = 512
"""So many more with each that libuv takes. Processes that share a port share a crowd by this."""


class CrowdLoop(uvloop.Loop):
    """uvloop's, but for the servers that it makes."""

    async def create_server(  # type: ignore[override]  # its options are uvloop's own, handed on
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        *arguments: Any,
        ssl: ssl.SSLContext | None = None,
        **options: Any,
    ) -> asyncio.Server:
        """As `asyncio.AbstractEventLoop.create_server`."""
        beginning: set[asyncio.Task[None]] = set()
        descriptors: list[int] = []

        def take() -> asyncio.Protocol:
            # Called for each connection that libuv has taken, so the server is open.
            for connection in _waiting(descriptors):
                task = self.create_task(self._begin(protocol_factory, connection, ssl))
                beginning.add(task)
                task.add_done_callback(beginning.discard)
            return protocol_factory()

        server = cast("asyncio.Server", await super().create_server(take, *arguments, ssl=ssl, **options))
        descriptors += [each.fileno() for each in server.sockets]
        return server

    async def _begin(
        self, protocol: Callable[[], asyncio.Protocol], connection: socket.socket, tls: ssl.SSLContext | None
    ) -> None:
        try:
            await self.connect_accepted_socket(protocol, connection, ssl=tls)
        except OSError as error:  # a client that has gone, or whose TLS is not ours
            log.debug("a connection did not begin", error=str(error))


def _waiting(descriptors: Sequence[int]) -> Iterator[socket.socket]:
    for descriptor in descriptors:
        listening = socket.socket(fileno=descriptor)
        try:
            with contextlib.suppress(BlockingIOError):  # there are no more
                for _ in range(AT_ONCE):
                    yield listening.accept()[0]
        except OSError as error:  # no descriptors left, or a client that has gone: libuv meets it too
            log.warning("a connection cannot be taken", error=str(error))
        finally:
            listening.detach()  # the descriptor is the server's
