"""How a segment's members change: pages of changes, and their stream."""

from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from audience.ports.memberships import ChangesForgotten
from services._kit.errors import ApiError
from services.segments.answers import change_json, json_response
from services.segments.cursors import refused_parameter
from services.segments.openapi import answers, file_answers
from services.segments.paths import SegmentKey
from services.segments.streaming import ChangeStream
from services.segments.work import PAGE, Limit, segment_of, work_of

_LARGEST: Final = 2**63 - 1

router = APIRouter(tags=["changes"])

After = Annotated[int, Query(ge=0, le=_LARGEST, description="The last `seq` that was seen; 0: from the start.")]


@router.get("/v1/segments/{key}/changes", summary="Changes of a segment's members",
            responses=answers("ChangePage", 404, 410, 422))  # fmt: skip
async def changes(request: Request, key: SegmentKey, after: After = 0, limit: Limit = PAGE) -> Response:
    """In the order in which they were stored. Pass `next` as `after` for those that come later."""
    segment = await segment_of(request, key)
    found = await _changes(request, segment.workspace, key, after, limit)
    return json_response({"changes": found, "next": found[-1]["seq"] if found else after})


@router.get("/v1/segments/{key}/changes/stream", summary="Follow the changes of a segment's members",
            responses=file_answers({"text/event-stream"}, 404, 410, 422))  # fmt: skip
async def stream(
    request: Request,
    key: SegmentKey,
    after: After = 0,
    last_event_id: Annotated[str | None, Header(description="As `after`, and before it.")] = None,
) -> Response:
    """Server-sent events: the data of each is a change, its id the change's `seq`. Never ends by itself."""
    segment = await segment_of(request, key)
    begin = after if not last_event_id else _number(last_event_id)
    await _changes(request, segment.workspace, key, begin, 1)  # 410 as an answer, not as a broken stream
    return ChangeStream(work_of(request).tail, segment.workspace, key, begin)


async def _changes(request: Request, workspace: str, key: str, after: int, limit: int) -> list[dict[str, object]]:
    try:
        found = await work_of(request).members.changes(workspace, key, after, limit)
    except ChangesForgotten as error:
        message = "changes behind this one are no longer kept; read the members, then the changes without `after`"
        raise ApiError(410, "changes_forgotten", message) from error
    return list(map(change_json, found))


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > _LARGEST:
        raise refused_parameter("Last-Event-ID", "must be the `seq` of a change")
    return int(text)
