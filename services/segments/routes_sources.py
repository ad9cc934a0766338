"""``/v1/sources``: those who send events, and their write keys."""

import re
import secrets
from typing import Any, Final, cast, get_args

from fastapi import APIRouter, Request
from starlette.responses import Response

from audience.ports.catalog import Source, SourceExists, SourceKind, SourceMissing
from services._kit.errors import ApiError
from services.segments.answers import json_response
from services.segments.cursors import cursor_of, key_behind
from services.segments.drafts import MAX_NAME, escaped, read_json, text_fault
from services.segments.openapi import answers, body
from services.segments.sending_side import SourceId, fault, no_source, refused, source_of
from services.segments.work import PAGE, Cursor, Limit, work_of, workspace_of

_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_KINDS: Final = get_args(SourceKind)
_FIELDS: Final = ("source", "name", "kind", "events_per_s")
_MOST_RATE: Final = 2**31 - 1

router = APIRouter(tags=["sources"])


@router.get("/v1/sources", summary="Sources", responses=answers("SourcePage", 422))
async def page(request: Request, limit: Limit = PAGE, cursor: Cursor = "") -> Response:
    """Those that are not revoked, in the order of their ids, with their write keys."""
    after, workspace = key_behind(cursor) if cursor else "", workspace_of(request)
    found = sorted(
        (each for each in await work_of(request).sending.sources.sources() if each.workspace == workspace),
        key=lambda each: each.source,
    )
    behind = [each for each in found if each.source > after]
    more = cursor_of(behind[limit - 1].source) if len(behind) > limit else None
    return json_response({"sources": list(map(source_json, behind[:limit])), "next_cursor": more})


@router.get("/v1/sources/{source}", summary="Read a source", responses=answers("Source", 404, 422))
async def read(request: Request, source: SourceId) -> Response:
    """Its name, kind, limit and write key."""
    found = await source_of(work_of(request).sending.sources, workspace_of(request), source)
    return json_response(source_json(found))


@router.post("/v1/sources", status_code=201, summary="Make a source", openapi_extra=body("SourceDraft"),
             responses=answers("Source", 400, 409, 413, 422, status=201))  # fmt: skip
async def create(request: Request) -> Response:
    """Makes its write key, which lets events in within 5 s. 409 `source_exists`, also where it was revoked."""
    new = _source(await read_json(request), workspace_of(request))
    try:
        await work_of(request).sending.sources.create(new)
    except SourceExists as error:
        raise ApiError(409, "source_exists", f"there is a source {new.source!r} already, or there was one") from error
    return json_response(source_json(new), 201)


@router.delete("/v1/sources/{source}", status_code=204, summary="Revoke a source",
               responses=answers(None, 404, 422, status=204))  # fmt: skip
async def revoke(request: Request, source: SourceId) -> Response:
    """Its write key lets nothing in any more: within 5 s, for good. Its id stays taken."""
    try:
        await work_of(request).sending.sources.revoke(workspace_of(request), source)
    except SourceMissing as error:
        raise no_source(source) from error
    return Response(status_code=204)


def source_json(source: Source) -> dict[str, Any]:
    """A source as the API gives it. A write key is public: pages in browsers hold it."""
    return {
        "source": source.source,
        "name": source.name,
        "kind": source.kind,
        "write_key": source.write_key,
        "events_per_s": source.events_per_s,
    }


def _source(content: object, workspace: str) -> Source:
    if not isinstance(content, dict):
        raise refused("the source", fault("wrong_type", "", "a source is an object"))
    faults = [
        fault("unknown_key", f"/{escaped(name)}", "a source has no such key") for name in content if name not in _FIELDS
    ]
    source, kind, rate = content.get("source"), content.get("kind", "server"), content.get("events_per_s")
    if not isinstance(source, str) or not _ID.fullmatch(source):
        faults.append(fault("bad_value", "/source", "must be 1 to 63 of a-z, 0-9 and -, the first no -"))
    name = content.get("name", source if isinstance(source, str) else "")
    if (wrong := text_fault(name, MAX_NAME)) is not None:
        faults.append(fault(wrong["code"], "/name", wrong["message"]))
    if kind not in _KINDS:
        faults.append(fault("bad_value", "/kind", f"must be one of {', '.join(_KINDS)}"))
    if rate is not None and (not isinstance(rate, int) or isinstance(rate, bool) or not 1 <= rate <= _MOST_RATE):
        faults.append(fault("bad_value", "/events_per_s", f"must be an integer from 1 to {_MOST_RATE}, or null"))
    if faults:
        raise refused("the source", *faults)
    return Source(workspace, str(source), name, secrets.token_urlsafe(24), cast("SourceKind", kind), rate)
