"""``/v1/segments/{key}/backfill``: how far a segment's history is, have it filled again, pause, resume, cancel."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from audience.ports.backfills import BackfillMissing
from services._kit.errors import ApiError
from services.segments.answers import backfill_json, json_response
from services.segments.drafts import read_json
from services.segments.openapi import answers, body
from services.segments.paths import SegmentKey
from services.segments.work import segment_of, work_of, workspace_of

STATES: Final = ("running", "paused", "cancelled")

router = APIRouter(tags=["segments"])


@router.get("/v1/segments/{key}/backfill", summary="Read a segment's backfill",
            responses=answers("Backfill", 404, 422))  # fmt: skip
async def read(request: Request, key: SegmentKey) -> Response:
    """The last one that the segment had."""
    return await _answer(request, key)


@router.post("/v1/segments/{key}/backfill", status_code=202, summary="Fill a segment from the lake",
             responses=answers("Backfill", 404, 409, 422, status=202))  # fmt: skip
async def begin(request: Request, key: SegmentKey) -> Response:
    """A live segment that is new or has a new rule is filled by itself; this does it again. Poll the status."""
    await work_of(request).saving.fill_again(workspace_of(request), key)
    return await _answer(request, key, 202)


@router.patch("/v1/segments/{key}/backfill", summary="Pause, resume or cancel a backfill",
              openapi_extra=body("BackfillChange"), responses=answers("Backfill", 400, 404, 409, 413, 422))  # fmt: skip
async def change(request: Request, key: SegmentKey) -> Response:
    """A cancelled one leaves the segment live with what came since it was saved."""
    work, workspace = work_of(request), workspace_of(request)
    content = await read_json(request)
    state = content.get("state") if isinstance(content, dict) else None
    await segment_of(request, key)
    try:
        match state:
            case "paused":
                await work.backfills.pause(workspace, key)
            case "running":
                await work.backfills.resume(workspace, key)
            case "cancelled":
                await work.backfills.cancel(workspace, key, work.now_ms())
                await work.saving.saved()
            case _:
                raise ApiError(422, "invalid_request", f"state is one of {', '.join(STATES)}")
    except BackfillMissing as error:
        raise ApiError(409, "backfill_not_outstanding", f"{key!r} has no backfill that can become {state}") from error
    return await _answer(request, key)


async def _answer(request: Request, key: str, status: int = 200) -> Response:
    work, workspace = work_of(request), workspace_of(request)
    await segment_of(request, key)
    found = (await work.backfills.newest(workspace, [key])).get(key)
    if found is None:
        raise ApiError(404, "backfill_not_found", f"{key!r} has had no backfill")
    return json_response(backfill_json(found, work.now_ms()), status, {"Location": f"/v1/segments/{key}/backfill"})
