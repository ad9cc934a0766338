"""The client for code that does not wait. The other one is made from this one: see clients/python/unasync.py."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from audience_client import operations
from audience_client.errors import ApiUnreachable
from audience_client.models import (
    Change,
    Explanation,
    Member,
    Memberships,
    Overlap,
    Profile,
    Segment,
    Size,
    UploadedList,
    Version,
)
from audience_client.operations import ExportFormat, Frames, Operation, Page, Status, error_of
from audience_client.retrying import AGAIN, FIRST_S, Busy, Retrying

T = TypeVar("T")


class AsyncAudienceClient:
    """One for an application. Use it as a context, or `aclose` it. Raises ApiError, ApiUnreachable."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_s: float = 10.0,
        retries: int = 2,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout_s, transport=transport)
        self._retrying = Retrying(retries)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def segments_of(self, profile_id: str) -> Memberships:
        """The segments that a profile is in; none for an unknown one."""
        return await self._send(operations.segments_of(profile_id))

    async def lookup(
        self, profile_ids: Iterable[str], segments: Iterable[str] | None = None
    ) -> Mapping[str, Sequence[str]]:
        """The segments of up to 1,000 profiles by id; of `segments` alone where they are given."""
        return await self._send(operations.lookup(profile_ids, segments))

    async def profile(self, profile_id: str) -> Profile:
        """Raises ApiError ``profile_not_found``."""
        return await self._send(operations.profile(profile_id))

    async def explain(self, profile_id: str, segment: str) -> Explanation:
        """Why a profile is, or is not, in a segment."""
        return await self._send(operations.explain(profile_id, segment))

    async def segment(self, key: str) -> Segment:
        """Raises ApiError ``segment_not_found``."""
        return await self._send(operations.segment(key))

    async def create_segment(
        self,
        key: str,
        rule: Mapping[str, Any],
        *,
        name: str | None = None,
        description: str = "",
        tags: Iterable[str] = (),
        status: Status = "draft",
    ) -> Segment:
        """Raises ApiError ``segment_exists``, ``rule_invalid``."""
        return await self._send(operations.create_segment(key, rule, name, description, tags, status))

    async def replace_segment(
        self,
        key: str,
        rule: Mapping[str, Any],
        *,
        name: str | None = None,
        description: str = "",
        tags: Iterable[str] = (),
        status: Status = "draft",
        etag: str | None = None,
    ) -> Segment:
        """All of it. With `etag`, only where it is still that one (ApiError ``version_conflict``)."""
        return await self._send(operations.replace_segment(key, rule, name, description, tags, status, etag))

    async def delete_segment(self, key: str, *, etag: str | None = None) -> None:
        """Raises ApiError ``segment_not_found``, ``in_use``."""
        await self._send(operations.delete_segment(key, etag))

    async def size(self, key: str, *, since: datetime | None = None, until: datetime | None = None) -> Size:
        """How many members there are, and were."""
        return await self._send(operations.size(key, since, until))

    async def overlap(self, key: str, *others: str) -> Overlap:
        """What up to five segments share."""
        return await self._send(operations.overlap(key, others))

    async def put_list(self, key: str, name: str | None = None) -> UploadedList:
        """Make a list, or rename it."""
        return await self._send(operations.put_list(key, name))

    async def add_to_list(self, key: str, profile_ids: Iterable[str]) -> UploadedList:
        """Put up to 100,000 profiles on a list."""
        return await self._send(operations.add_to_list(key, profile_ids))

    async def delete_list(self, key: str) -> None:
        """Raises ApiError ``list_not_found``, ``in_use``."""
        await self._send(operations.delete_list(key))

    def segments(self) -> AsyncIterator[Segment]:
        """Every segment, in the order of their keys."""
        return self._pages(operations.segments, "")

    def versions(self, key: str) -> AsyncIterator[Version]:
        """Every version, the newest first."""
        return self._pages(lambda at: operations.versions(key, at), "")

    def members(self, key: str) -> AsyncIterator[Member]:
        """Every member, in the order of their ids."""
        return self._pages(lambda at: operations.members(key, at), "")

    def changes(self, key: str, after: int = 0) -> AsyncIterator[Change]:
        """Every change behind `after` that there is now."""
        return self._pages(lambda at: operations.changes(key, at), after)

    async def follow(self, key: str, after: int = 0) -> AsyncIterator[Change]:
        """Changes behind `after` as they happen, without end. A lost connection is taken up where it was."""
        failures = 0
        while True:
            frames = Frames()
            try:
                async with self._stream(operations.stream(key, after)) as response:
                    async for line in response.aiter_lines():
                        failures = 0
                        if (change := frames.line(line)) is not None:
                            yield change
                            after = change.seq
            except (httpx.TransportError, Busy) as error:
                pause_s = self._retrying.pause_s(failures, error.response if isinstance(error, Busy) else None)
                if pause_s is None:
                    raise ApiUnreachable(str(error) or type(error).__name__) from error
                failures += 1
                await asyncio.sleep(pause_s)
            else:
                await asyncio.sleep(FIRST_S)  # the server ends

    async def export(self, key: str, form: ExportFormat = "csv") -> AsyncIterator[bytes]:
        """The members as a file, in pieces as they come. Not tried again: what was written cannot be taken back."""
        try:
            async with self._stream(operations.export(key, form)) as response:
                async for piece in response.aiter_bytes():
                    yield piece
        except Busy as error:
            raise error_of(error.response) from error

    async def _pages(self, of: Callable[[str | int], Operation[Page[T]]], at: str | int) -> AsyncIterator[T]:
        place: str | int | None = at
        while place is not None:
            page = await self._send(of(place))
            for item in page.items:
                yield item
            place = page.next

    async def _send(self, operation: Operation[T]) -> T:
        attempt = 0
        while True:
            response = None
            try:
                response = await self._http.send(operation.request(self._http))
            except httpx.TransportError as error:
                pause_s = self._retrying.pause_s(attempt, None)
                if pause_s is None:
                    raise ApiUnreachable(str(error) or type(error).__name__) from error
            else:
                pause_s = self._retrying.pause_s(attempt, response)
                if pause_s is None:
                    return operation.answer(response)
            attempt += 1
            await asyncio.sleep(pause_s)

    @asynccontextmanager
    async def _stream(self, operation: Operation[None]) -> AsyncIterator[httpx.Response]:
        request = operation.request(self._http)
        response = await self._http.send(request, stream=True)
        try:
            if not response.is_success:
                await response.aread()
                raise Busy(response) if response.status_code in AGAIN else error_of(response)
            yield response
        finally:
            await response.aclose()
