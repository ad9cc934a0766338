"""What is asked of the API and how its answers are read. Both clients send these; nothing here does I/O."""

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

import httpx

from audience_client.errors import ApiError, ApiFault
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

T = TypeVar("T")
Status = Literal["draft", "live", "paused", "archived"]
ExportFormat = Literal["csv", "jsonl", "parquet"]
PAGE = 1_000
STREAM_S = 30.0
"""A stream says that it is there every 10 s; one that is silent for longer has been lost."""


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """A request, and how its answer is read. All of them may be sent again."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    """Between two pieces of the answer; None: the client's."""

    def request(self, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The request as `client` sends it."""
        content = None if self.body is None else json.dumps(self.body).encode()
        headers = {"Content-Type": "application/json", **self.headers} if content is not None else self.headers
        timeout = client.timeout if self.timeout_s is None else httpx.Timeout(self.timeout_s)
        return client.build_request(
            self.method, self.path, params=self.query, content=content, headers=headers, timeout=timeout
        )

    def answer(self, response: httpx.Response) -> T:
        """What the answer says. Raises ApiError."""
        if response.is_success:
            return self.read(response)
        raise error_of(response)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of many, and where the next begin; None on the last page."""

    items: Sequence[T]
    next: str | int | None


def error_of(response: httpx.Response) -> ApiError:
    """A refusal, also where a proxy in between gave it."""
    try:
        body = response.json()
        faults = [ApiFault(each["code"], each["path"], each["message"]) for each in body.get("errors", ())]
        return ApiError(response.status_code, body["code"], body["message"], faults, body.get("request_id", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ApiError(response.status_code, "unreadable_answer", response.reason_phrase)


def _part(identifier: str) -> str:
    return quote(identifier, safe="")


def _segment_path(key: str, rest: str = "") -> str:
    return f"/v1/segments/{_part(key)}{rest}"


def _nothing(_: httpx.Response) -> None:
    return None


def _read_segment(response: httpx.Response) -> Segment:
    return Segment.of(response.json(), response.headers.get("ETag", ""))


def segments_of(profile_id: str) -> Operation[Memberships]:
    return Operation("GET", f"/v1/profiles/{_part(profile_id)}/segments", lambda answer: Memberships.of(answer.json()))


def lookup(profile_ids: Iterable[str], segments: Iterable[str] | None) -> Operation[Mapping[str, Sequence[str]]]:
    body: dict[str, Any] = {"profile_ids": list(profile_ids)}
    if segments is not None:
        body["segments"] = list(segments)
    return Operation("POST", "/v1/memberships/lookup", lambda answer: answer.json()["memberships"], body=body)


def profile(profile_id: str) -> Operation[Profile]:
    return Operation("GET", f"/v1/profiles/{_part(profile_id)}", lambda answer: Profile.of(answer.json()))


def explain(profile_id: str, segment: str) -> Operation[Explanation]:
    path = f"/v1/profiles/{_part(profile_id)}/explain/{_part(segment)}"
    return Operation("GET", path, lambda answer: Explanation.of(answer.json()))


def _draft(
    rule: Mapping[str, Any], name: str | None, description: str, tags: Iterable[str], status: Status
) -> dict[str, Any]:
    body: dict[str, Any] = {"rule": rule, "description": description, "tags": list(tags), "status": status}
    return body if name is None else {**body, "name": name}


def create_segment(
    key: str, rule: Mapping[str, Any], name: str | None, description: str, tags: Iterable[str], status: Status
) -> Operation[Segment]:
    body = {"key": key, **_draft(rule, name, description, tags, status)}
    return Operation("POST", "/v1/segments", _read_segment, body=body, headers={"Idempotency-Key": uuid.uuid4().hex})


def replace_segment(
    key: str,
    rule: Mapping[str, Any],
    name: str | None,
    description: str,
    tags: Iterable[str],
    status: Status,
    etag: str | None,
) -> Operation[Segment]:
    headers = {} if etag is None else {"If-Match": etag}
    body = _draft(rule, name, description, tags, status)
    return Operation("PUT", _segment_path(key), _read_segment, body=body, headers=headers)


def segment(key: str) -> Operation[Segment]:
    return Operation("GET", _segment_path(key), _read_segment)


def segments(cursor: str | int) -> Operation[Page[Segment]]:
    def read(answer: httpx.Response) -> Page[Segment]:
        body = answer.json()
        return Page(list(map(Segment.of, body["segments"])), body["next_cursor"])

    return Operation("GET", "/v1/segments", read, {"limit": PAGE, "cursor": cursor})


def delete_segment(key: str, etag: str | None) -> Operation[None]:
    return Operation("DELETE", _segment_path(key), _nothing, headers={} if etag is None else {"If-Match": etag})


def versions(key: str, cursor: str | int) -> Operation[Page[Version]]:
    def read(answer: httpx.Response) -> Page[Version]:
        body = answer.json()
        return Page(list(map(Version.of, body["versions"])), body["next_cursor"])

    return Operation("GET", _segment_path(key, "/versions"), read, {"limit": PAGE, "cursor": cursor})


def size(key: str, since: datetime | None, until: datetime | None) -> Operation[Size]:
    query = {name: at.isoformat() for name, at in (("from", since), ("to", until)) if at is not None}
    return Operation("GET", _segment_path(key, "/size"), lambda answer: Size.of(answer.json()), query)


def members(key: str, cursor: str | int) -> Operation[Page[Member]]:
    def read(answer: httpx.Response) -> Page[Member]:
        body = answer.json()
        return Page(list(map(Member.of, body["members"])), body["next_cursor"])

    return Operation("GET", _segment_path(key, "/members"), read, {"limit": PAGE, "cursor": cursor})


def overlap(key: str, others: Iterable[str]) -> Operation[Overlap]:
    query = {"with": ",".join(others)}
    return Operation("GET", _segment_path(key, "/overlap"), lambda answer: Overlap.of(answer.json()), query)


def changes(key: str, after: str | int) -> Operation[Page[Change]]:
    def read(answer: httpx.Response) -> Page[Change]:
        body = answer.json()
        found = list(map(Change.of, body["changes"]))
        return Page(found, body["next"] if found else None)

    return Operation("GET", _segment_path(key, "/changes"), read, {"limit": PAGE, "after": after})


def stream(key: str, after: int) -> Operation[None]:
    headers = {"Last-Event-ID": str(after), "Accept": "text/event-stream"}
    return Operation("GET", _segment_path(key, "/changes/stream"), _nothing, headers=headers, timeout_s=STREAM_S)


def export(key: str, form: ExportFormat) -> Operation[None]:
    return Operation("GET", _segment_path(key, "/export"), _nothing, {"format": form})


def put_list(key: str, name: str | None) -> Operation[UploadedList]:
    body = {} if name is None else {"name": name}
    return Operation("PUT", f"/v1/lists/{_part(key)}", lambda answer: UploadedList.of(answer.json()), body=body)


def add_to_list(key: str, profile_ids: Iterable[str]) -> Operation[UploadedList]:
    return Operation(
        "POST",
        f"/v1/lists/{_part(key)}/members",
        lambda answer: UploadedList.of(answer.json()),
        body={"profile_ids": list(profile_ids)},
        headers={"Idempotency-Key": uuid.uuid4().hex},
    )


def delete_list(key: str) -> Operation[None]:
    return Operation("DELETE", f"/v1/lists/{_part(key)}", _nothing)


class Frames:
    """Reads a stream of server-sent events line by line; gives a change where a line completes one."""

    def __init__(self) -> None:
        self._data: list[str] = []

    def line(self, line: str) -> Change | None:
        """Take in a line, without its end."""
        if line.startswith("data:"):
            self._data.append(line[5:].removeprefix(" "))
        elif not line and self._data:
            data, self._data = "\n".join(self._data), []
            return Change.of(json.loads(data))
        return None
