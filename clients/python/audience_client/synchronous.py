"""The client for code that waits. Made from asynchronous.py."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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


class AudienceClient:
    """One for an application. Use it as a context, or `close` it. Raises ApiError, ApiUnreachable."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_s: float = 10.0,
        retries: int = 2,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, transport=transport)
        self._retrying = Retrying(retries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def segments_of(self, profile_id: str) -> Memberships:
        """The segments that a profile is in; none for an unknown one."""
        return self._send(operations.segments_of(profile_id))

    def lookup(self, profile_ids: Iterable[str], segments: Iterable[str] | None = None) -> Mapping[str, Sequence[str]]:
        """The segments of up to 1,000 profiles by id; of `segments` alone where they are given."""
        return self._send(operations.lookup(profile_ids, segments))

    def profile(self, profile_id: str) -> Profile:
        """Raises ApiError ``profile_not_found``."""
        return self._send(operations.profile(profile_id))

    def explain(self, profile_id: str, segment: str) -> Explanation:
        """Why a profile is, or is not, in a segment."""
        return self._send(operations.explain(profile_id, segment))

    def segment(self, key: str) -> Segment:
        """Raises ApiError ``segment_not_found``."""
        return self._send(operations.segment(key))

    def create_segment(
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
        return self._send(operations.create_segment(key, rule, name, description, tags, status))

    def replace_segment(
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
        return self._send(operations.replace_segment(key, rule, name, description, tags, status, etag))

    def delete_segment(self, key: str, *, etag: str | None = None) -> None:
        """Raises ApiError ``segment_not_found``, ``in_use``."""
        self._send(operations.delete_segment(key, etag))

    def size(self, key: str, *, since: datetime | None = None, until: datetime | None = None) -> Size:
        """How many members there are, and were."""
        return self._send(operations.size(key, since, until))

    def overlap(self, key: str, *others: str) -> Overlap:
        """What up to five segments share."""
        return self._send(operations.overlap(key, others))

    def put_list(self, key: str, name: str | None = None) -> UploadedList:
        """Make a list, or rename it."""
        return self._send(operations.put_list(key, name))

    def add_to_list(self, key: str, profile_ids: Iterable[str]) -> UploadedList:
        """Put up to 100,000 profiles on a list."""
        return self._send(operations.add_to_list(key, profile_ids))

    def delete_list(self, key: str) -> None:
        """Raises ApiError ``list_not_found``, ``in_use``."""
        self._send(operations.delete_list(key))

    def segments(self) -> Iterator[Segment]:
        """Every segment, in the order of their keys."""
        return self._pages(operations.segments, "")

    def versions(self, key: str) -> Iterator[Version]:
        """Every version, the newest first."""
        return self._pages(lambda at: operations.versions(key, at), "")

    def members(self, key: str) -> Iterator[Member]:
        """Every member, in the order of their ids."""
        return self._pages(lambda at: operations.members(key, at), "")

    def changes(self, key: str, after: int = 0) -> Iterator[Change]:
        """Every change behind `after` that there is now."""
        return self._pages(lambda at: operations.changes(key, at), after)

    def follow(self, key: str, after: int = 0) -> Iterator[Change]:
        """Changes behind `after` as they happen, without end. A lost connection is taken up where it was."""
        failures = 0
        while True:
            frames = Frames()
            try:
                with self._stream(operations.stream(key, after)) as response:
                    for line in response.iter_lines():
                        failures = 0
                        if (change := frames.line(line)) is not None:
                            yield change
                            after = change.seq
            except (httpx.TransportError, Busy) as error:
                pause_s = self._retrying.pause_s(failures, error.response if isinstance(error, Busy) else None)
                if pause_s is None:
                    raise ApiUnreachable(str(error) or type(error).__name__) from error
                failures += 1
                time.sleep(pause_s)
            else:
                time.sleep(FIRST_S)  # the server ends

    def export(self, key: str, form: ExportFormat = "csv") -> Iterator[bytes]:
        """The members as a file, in pieces as they come. Not tried again: what was written cannot be taken back."""
        try:
            with self._stream(operations.export(key, form)) as response:
                yield from response.iter_bytes()
        except Busy as error:
            raise error_of(error.response) from error

    def _pages(self, of: Callable[[str | int], Operation[Page[T]]], at: str | int) -> Iterator[T]:
        place: str | int | None = at
        while place is not None:
            page = self._send(of(place))
            yield from page.items
            place = page.next

    def _send(self, operation: Operation[T]) -> T:
        attempt = 0
        while True:
            response = None
            try:
                response = self._http.send(operation.request(self._http))
            except httpx.TransportError as error:
                pause_s = self._retrying.pause_s(attempt, None)
                if pause_s is None:
                    raise ApiUnreachable(str(error) or type(error).__name__) from error
            else:
                pause_s = self._retrying.pause_s(attempt, response)
                if pause_s is None:
                    return operation.answer(response)
            attempt += 1
            time.sleep(pause_s)

    @contextmanager
    def _stream(self, operation: Operation[None]) -> Iterator[httpx.Response]:
        request = operation.request(self._http)
        response = self._http.send(request, stream=True)
        try:
            if not response.is_success:
                response.read()
                raise Busy(response) if response.status_code in AGAIN else error_of(response)
            yield response
        finally:
            response.close()
