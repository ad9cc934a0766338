"""``/v1/segments``: create, list, read, replace, delete."""

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from audience.ports.backfills import Backfill
from audience.ports.catalog import Segment
from services.segments.answers import json_response, segment_json
from services.segments.cursors import key_behind, page_json
from services.segments.drafts import read_body, read_fields, read_json, read_object
from services.segments.idempotency import IdempotencyKey, once
from services.segments.openapi import answers, body
from services.segments.paths import SegmentKey
from services.segments.work import PAGE, Cursor, Limit, Work, segment_of, work_of, workspace_of

_ETAG: Final = re.compile(r'"([0-9]{1,18})"')

router = APIRouter(tags=["segments"])

IfMatch = Annotated[str | None, Header(description="ETags; a stale one is refused with 412.")]


@router.post("/v1/segments", status_code=201, summary="Create a segment", openapi_extra=body("SegmentDraft"),
             responses=answers("Segment", 400, 409, 413, 422, status=201, etag=True))  # fmt: skip
async def create(request: Request, idempotency_key: IdempotencyKey = None) -> Response:
    """It is saved as version 1, and evaluated within two seconds where its status is `live`."""
    content = await read_body(request)

    async def answer() -> Response:
        fields = read_fields(read_object(content))
        segment = await work_of(request).saving.create(workspace_of(request), fields)
        return await _answer(work_of(request), segment, 0, 201, {"Location": f"/v1/segments/{segment.key}"})

    return await once(request, idempotency_key, content, answer)


@router.get("/v1/segments", summary="List segments", responses=answers("SegmentPage", 422))
async def page(request: Request, limit: Limit = PAGE, cursor: Cursor = "") -> Response:
    """In the order of their keys. The last page has `"next_cursor": null`."""
    work, workspace = work_of(request), workspace_of(request)
    found = await work.catalog.page(workspace, key_behind(cursor) if cursor else "", limit + 1)
    sizes = await work.index.sizes(workspace)
    backfills = await work.backfills.newest(workspace, [segment.key for segment in found])

    def shown(segment: Segment) -> dict[str, Any]:
        return _shown(work, segment, sizes.get(segment.key, 0), backfills.get(segment.key))

    return json_response(page_json("segments", found, limit, shown, lambda each: each.key))


@router.get("/v1/segments/{key}", summary="Read a segment", responses=answers("Segment", 404, 422, etag=True))
async def read(request: Request, key: SegmentKey) -> Response:
    """With its size now, and its ETag."""
    work, workspace = work_of(request), workspace_of(request)
    segment = await segment_of(request, key)
    return await _answer(work, segment, await work.index.size(workspace, key))


@router.put("/v1/segments/{key}", summary="Replace a segment", openapi_extra=body("SegmentReplacement"),
            responses=answers("Segment", 400, 404, 409, 412, 413, 422, etag=True))  # fmt: skip
async def replace(request: Request, key: SegmentKey, if_match: IfMatch = None) -> Response:
    """All of it; what is left out gets its default. Only a changed rule raises `version`."""
    work, workspace = work_of(request), workspace_of(request)
    content = await read_json(request)
    await segment_of(request, key)  # 404 before what is wrong with the body
    segment = await work.saving.replace(workspace, read_fields(content, key), _known(if_match))
    return await _answer(work, segment, await work.index.size(workspace, key))


@router.delete("/v1/segments/{key}", status_code=204, summary="Delete a segment",
               responses=answers(None, 404, 409, 412, 422, status=204))  # fmt: skip
async def delete(request: Request, key: SegmentKey, if_match: IfMatch = None) -> Response:
    """It and its memberships are gone at once for readers."""
    await work_of(request).saving.delete(workspace_of(request), key, _known(if_match))
    return Response(status_code=204)


def _shown(work: Work, segment: Segment, members: int, backfill: Backfill | None) -> dict[str, Any]:
    """Memberships are shown only while the segment is evaluated or frozen."""
    size, evaluated_ms = members if segment.evaluated else 0, work.freshness.evaluated_ms(segment)
    return segment_json(segment, size, evaluated_ms, backfill, work.now_ms())


async def _answer(
    work: Work, segment: Segment, members: int, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    found = await work.backfills.newest(segment.workspace, [segment.key])
    shown = _shown(work, segment, members, found.get(segment.key))
    return json_response(shown, status, {"ETag": f'"{segment.saved_revision}"', **(headers or {})})


def _known(if_match: str | None) -> frozenset[int] | None:
    """The revisions of ``If-Match``; None where any will do. A weak or foreign tag matches none."""
    if if_match is None or if_match.strip() == "*":
        return None
    tags = (_ETAG.fullmatch(tag.strip()) for tag in if_match.split(","))
    return frozenset(int(tag[1]) for tag in tags if tag is not None)
