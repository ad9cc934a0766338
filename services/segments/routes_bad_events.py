"""``/v1/bad-events``: what could not be accepted or processed, why, its bytes; and to send it again once mended."""

import asyncio
import base64
import time
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from audience.adapters.kafka.bad_events import Filter, Found, NoSuchPlace, place_of
from audience.adapters.kafka.reader import Mark
from services._kit.errors import ApiError, unavailable
from services._kit.replaying import IngestRefused
from services.segments.answers import json_response
from services.segments.cursors import behind, cursor_of, refused_parameter
from services.segments.drafts import escaped, read_json
from services.segments.openapi import answers, body
from services.segments.sending_side import fault, refused
from services.segments.work import Cursor, work_of, workspace_of

T = TypeVar("T")

MOST_REPLAYED: Final = 1_000
_READ_S: Final = 5.0
_REPLAY_READ_S: Final = 60.0
"""A replay by a filter reads on from its `since`; without one, all that is kept."""
_BY: Final = ("source", "reason", "since", "until")
_FIELDS: Final = ("places", "source", "reason", "since", "until", "patch", "again", "dry_run")

router = APIRouter(tags=["bad events"])

Source = Annotated[str | None, Query(description="Of this source.")]
Reason = Annotated[str | None, Query(description="With this code.")]
Since = Annotated[str | None, Query(description="Received then or later: RFC 3339.")]
Until = Annotated[str | None, Query(description="Received earlier than that.")]
Place = Annotated[str, Path(description="As a list gives it: `0-123`.")]


@router.get("/v1/bad-events", summary="Bad events", responses=answers("BadEventPage", 422))
async def page(
    request: Request,
    source: Source = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, Query(ge=1, le=200, description="How many at most.")] = 50,
    cursor: Cursor = "",
) -> Response:
    """The newest first, the first 1,024 bytes of each. A page may be short, even empty, and have a next one: reading
    has its time."""
    wanted = Filter(workspace_of(request), source, reason, _ms("since", since), _ms("until", until))
    before = _mark(cursor) if cursor else None
    bad_events = work_of(request).sending.bad_events
    found = await _reading(request, lambda: bad_events.newest(wanted, before, limit, _READ_S))
    return json_response(
        {
            "bad_events": [_bad_json(each) for each in found.found],
            "next_cursor": None if found.before is None else _cursor(found.before),
        }
    )


@router.get("/v1/bad-events/{place}", summary="Read a bad event", responses=answers("BadEvent", 404, 422))
async def read(request: Request, place: Place) -> Response:
    """All of it: `original` as text where it is text, else `original_base64`; and what its request gave to it."""
    found = await _at(request, place)
    return json_response(_bad_json(found))


@router.post("/v1/bad-events/replay", summary="Send bad events again", openapi_extra=body("BadEventReplay"),
             responses=answers("BadEventReplayed", 400, 404, 413, 422))  # fmt: skip
async def replay(request: Request) -> Response:
    """At most 1,000 of those that were not sent again yet, each with its own time; `more` says that there are others.
    Counted once, however often they are sent, for a day at least."""
    content = await read_json(request)
    places, wanted, patch, again, dry_run = _order(content, workspace_of(request))
    sending = work_of(request).sending
    if places:
        found, more = [await _at(request, each) for each in places], False
    else:
        done = frozenset() if again else await sending.replaying.replays.all()
        found, more = await _reading(request, lambda: _matching(sending.bad_events.read(wanted), done))
    try:
        result = await sending.replaying.replay(found, patch, again=again, dry_run=dry_run)
    except IngestRefused as error:
        raise unavailable(f"ingest-api ({error})") from error
    return json_response(
        {
            "sent": result.sent,
            "accepted": result.accepted,
            "bad_again": dict(result.bad_again),
            "not_sent": dict(result.not_sent),
            "more": more,
            **({"events": result.events} if dry_run else {}),
        }
    )


def _matching(found: Iterator[Found], done: Collection[tuple[int, int]]) -> tuple[list[Found], bool]:
    """The oldest that were not sent again, and whether there may be more; blocks."""
    until_s, kept = time.monotonic() + _REPLAY_READ_S, list[Found]()
    for each in found:
        if (each.partition, each.offset) in done:
            continue
        if len(kept) == MOST_REPLAYED or time.monotonic() > until_s:
            return kept, True
        kept.append(each)
    return kept, False


async def _at(request: Request, place: str) -> Found:
    """The bad event, if it is of the token's workspace. Raises ApiError 404."""
    bad_events = work_of(request).sending.bad_events
    try:
        found = await _reading(request, lambda: bad_events.at(place))
    except NoSuchPlace as error:
        raise _nothing(place) from error
    if found.bad.workspace != workspace_of(request):
        raise _nothing(place)
    return found


async def _reading(request: Request, work: Callable[[], T]) -> T:
    async with work_of(request).sending.readers:
        return await asyncio.to_thread(work)


def _nothing(place: str) -> ApiError:
    return ApiError(404, "bad_event_not_found", f"there is no bad event at {place!r}")


def _bad_json(found: Found) -> dict[str, Any]:
    bad = found.bad
    cut = len(bad.original) < found.size_bytes
    shown: dict[str, Any] = {
        "place": found.place,
        "received_at": found.at,
        "source": bad.source,
        "code": bad.code,
        "path": bad.path,
        "message": bad.message,
        "profile_id": bad.profile_id,
        "request": None if bad.request is None else msgspec.to_builtins(bad.request),
        "size_bytes": found.size_bytes,
        "cut": cut,
    }
    try:
        return {**shown, "original": bad.original.decode(errors="replace" if cut else "strict")}
    except UnicodeDecodeError:
        return {**shown, "original_base64": base64.b64encode(bad.original).decode()}


def _order(content: object, workspace: str) -> tuple[list[str], Filter, dict[str, Any], bool, bool]:
    """What a replay's body asks for: places or a filter, the patch, `again`, `dry_run`. Raises ApiError 422."""
    if not isinstance(content, dict):
        raise refused("the replay", fault("wrong_type", "", "a replay is an object"))
    faults = [
        fault("unknown_key", f"/{escaped(name)}", "a replay has no such key") for name in content if name not in _FIELDS
    ]
    places, patch = content.get("places", []), content.get("patch", {})
    if not isinstance(places, list) or not all(isinstance(each, str) for each in places):
        faults.append(fault("wrong_type", "/places", "must be a list of places"))
    elif len(places) > MOST_REPLAYED:
        faults.append(fault("limit_exceeded", "/places", f"may hold {MOST_REPLAYED} places"))
    if not isinstance(patch, dict):
        faults.append(fault("wrong_type", "/patch", "must be an object: a JSON merge patch"))
    faults += [
        fault("wrong_type", f"/{name}", "must be a string")
        for name in _BY
        if not isinstance(content.get(name, ""), str)
    ]
    faults += [
        fault("wrong_type", f"/{name}", "must be true or false")
        for name in ("again", "dry_run")
        if not isinstance(content.get(name, False), bool)
    ]
    named = [name for name in _BY if name in content]
    if not faults and bool(places) == bool(named):
        faults.append(fault("missing_key", "", "either `places`, or some of `source`, `reason`, `since`, `until`"))
    if faults:
        raise refused("the replay", *faults[:100])
    wanted = Filter(
        workspace,
        content.get("source"),
        content.get("reason"),
        _ms("since", content.get("since")),
        _ms("until", content.get("until")),
    )
    return places, wanted, patch, content.get("again", False), content.get("dry_run", False)


def _ms(name: str, text: str | None) -> int | None:
    """A time in Unix milliseconds. Raises ApiError 422."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text.upper())
        if at.tzinfo is not None:
            return max(0, int(at.timestamp() * 1000))  # nothing is older, and Kafka takes -1 for something else
    except (ValueError, OverflowError):
        pass  # refused below, as one without an offset
    raise refused_parameter(name, "must be a time as 2026-01-31T12:00:00Z")


def _cursor(mark: Mark) -> str:
    return cursor_of(",".join(f"{partition}-{offset}" for partition, offset in sorted(mark.items())))


def _mark(cursor: str) -> Mark:
    try:
        return dict(place_of(each) for each in behind(cursor).split(","))
    except NoSuchPlace as error:
        raise refused_parameter("cursor", "must be the `next_cursor` of a page") from error
