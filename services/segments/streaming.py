"""Streams of changes: one look at the database a moment for all of them, and each reads for itself what is new.

Nothing is buffered for a reader: what it has not taken lies in the database. One that takes nothing for `SLOW_S` is
cut off, and resumes where it was. Refuses more than `MOST_STREAMS` of them in a process.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from audience.ports.catalog import SegmentCatalog
from audience.ports.memberships import ChangesForgotten, MembershipReads
from audience.ports.stores import StoreUnavailable
from services._kit.errors import ApiError
from services.segments.answers import change_json
from services.segments.sending import SlowReader, disconnected, send_piece

LOOK_EVERY_S: Final = 0.2
HEARTBEAT_S: Final = 10.0
MOST_STREAMS: Final = 1_000
_AT_ONCE: Final = 500

_Place = tuple[str, str]
_encode: Final = msgspec.json.Encoder().encode
log = structlog.stdlib.get_logger(__name__)


class Tail:
    """Wakes the streams of a segment when it has new changes. Use `run` as a background task."""

    def __init__(self, members: MembershipReads, catalog: SegmentCatalog, stopping: Callable[[], bool]) -> None:
        self.members = members
        self.catalog = catalog
        self.stopping = stopping
        self._streams: dict[_Place, set[asyncio.Event]] = defaultdict(set)
        self._last: dict[_Place, int] = {}
        self._count = 0

    @contextmanager
    def watch(self, place: _Place) -> Iterator[asyncio.Event]:
        """An event that is set when there may be something new. Raises ApiError 503."""
        if self._count >= MOST_STREAMS:
            raise ApiError(503, "unavailable", "as many streams as can be are open", headers={"Retry-After": "5"})
        news = asyncio.Event()
        self._streams[place].add(news)
        self._count += 1
        try:
            yield news
        finally:
            self._count -= 1
            self._streams[place].discard(news)
            if not self._streams[place]:
                del self._streams[place]
                self._last.pop(place, None)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self.stopping():
                self._wake(list(self._streams))
            elif self._streams:
                await self._look(list(self._streams))

    async def _look(self, places: list[_Place]) -> None:
        try:
            last = await self.members.last_changes(places)
        except StoreUnavailable as error:
            log.warning("streams of changes wait for the database", streams=self._count, error=str(error))
            return
        moved = [place for place in places if last.get(place, 0) != self._last.get(place, 0)]
        self._last.update(last)
        self._wake(moved)

    def _wake(self, places: list[_Place]) -> None:
        for place in places:
            for news in self._streams.get(place, ()):
                news.set()


class ChangeStream(Response):
    """The answer: frames for as long as the client listens."""

    media_type = "text/event-stream"

    def __init__(self, tail: Tail, workspace: str, key: str, after: int) -> None:
        self._tail, self._place, self._after = tail, (workspace, key), after
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  as ASGI has it
        """Send frames until the client goes, falls behind, or this process ends; or the segment is no more."""
        with self._tail.watch(self._place) as news:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            frames = asyncio.create_task(self._frames(send, news))
            gone = asyncio.create_task(disconnected(receive))
            try:
                await asyncio.wait((frames, gone), return_when=asyncio.FIRST_COMPLETED)
            finally:
                frames.cancel()
                gone.cancel()
            if frames.done() and not gone.done():
                await self._end(send, frames)

    async def _end(self, send: Send, frames: "asyncio.Task[None]") -> None:
        try:
            await frames
        except SlowReader as error:
            log.info("a stream of changes was cut", segment=self._place[1], why=str(error))
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _frames(self, send: Send, news: asyncio.Event) -> None:
        await send_piece(send, b"retry: 1000\n\n")
        while not self._tail.stopping():
            news.clear()
            try:
                found = await self._tail.members.changes(*self._place, self._after, _AT_ONCE)
            except (StoreUnavailable, ChangesForgotten):
                return  # the client comes back, and is told then
            if found:
                frames = [b"id: %d\ndata: %s\n\n" % (each.seq, _encode(change_json(each))) for each in found]
                await send_piece(send, b"".join(frames))
                self._after = found[-1].seq
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await news.wait()
            except TimeoutError:
                if not await self._is_there():
                    return
                await send_piece(send, b": still here\n\n")

    async def _is_there(self) -> bool:
        try:
            return await self._tail.catalog.get(*self._place) is not None
        except StoreUnavailable:
            return True
