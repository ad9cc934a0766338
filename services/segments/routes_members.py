"""Who is in a segment: size and its history, members, overlap, export."""

from itertools import combinations
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from audience.ports.memberships import Member
from audience.rules.dates import format_ms, parse_date_ms
from services._kit.errors import ApiError
from services.segments.answers import instant, json_response
from services.segments.cursors import behind, page_json, refused_parameter
from services.segments.exporting import ENCODERS, Export
from services.segments.openapi import answers, file_answers
from services.segments.paths import SegmentKey
from services.segments.work import PAGE, Cursor, Limit, segment_of, work_of, workspace_of

DAY_MS: Final = 24 * 60 * 60 * 1_000
MOST_OTHERS: Final = 4
_LARGEST_MS: Final = 253_402_300_799_999

router = APIRouter(tags=["members"])

Time = Annotated[str | None, Query(description="RFC 3339.", json_schema_extra={"format": "date-time"})]


@router.get("/v1/segments/{key}/size", summary="Size of a segment", responses=answers("Size", 404, 422))
async def size(
    request: Request,
    key: SegmentKey,
    from_: Annotated[Time, Query(alias="from")] = None,
    to: Time = None,
) -> Response:
    """How many profiles are members now, and how many were: a sample a minute where it moved, fewer of older times.

    Without `from` the history begins 24 hours ago, or before `to`.
    """
    work, workspace = work_of(request), workspace_of(request)
    segment = await segment_of(request, key)
    now_ms = work.now_ms()
    to_ms = now_ms if to is None else _instant(to, "to")
    from_ms = min(to_ms, now_ms) - DAY_MS if from_ is None else _instant(from_, "from")
    members = await work.index.size(workspace, key) if segment.evaluated else 0
    history = await work.history_of_sizes.history(workspace, key, from_ms, to_ms)
    return json_response(
        {
            "size": members,
            "as_of": instant(now_ms),
            "history": [{"at": instant(each.at_ms), "size": each.size} for each in history],
        }
    )


@router.get("/v1/segments/{key}/members", summary="Members of a segment", responses=answers("MemberPage", 404, 422))
async def members(request: Request, key: SegmentKey, limit: Limit = PAGE, cursor: Cursor = "") -> Response:
    """In the order of their ids. Whoever is a member throughout is on exactly one page, whatever changes meanwhile."""
    work = work_of(request)
    segment = await segment_of(request, key)
    after = behind(cursor) if cursor else None
    found = await work.members.members(segment.workspace, key, after, limit + 1) if segment.evaluated else ()
    page = page_json("members", found, limit, _member, lambda each: each.profile_id)
    return json_response({**page, "as_of": instant(work.now_ms())})


@router.get("/v1/segments/{key}/overlap", summary="What segments share", responses=answers("Overlap", 404, 422))
async def overlap(
    request: Request,
    key: SegmentKey,
    with_: Annotated[str, Query(alias="with", description="Up to 4 other segments, with commas between them.")],
) -> Response:
    """Sizes of this segment and others, of what every two and more of them share, and of all together. Exact."""
    work = work_of(request)
    keys = list(dict.fromkeys([key, *filter(None, with_.split(","))]))
    if not 2 <= len(keys) <= MOST_OTHERS + 1:
        raise refused_parameter("with", f"must name 1 to {MOST_OTHERS} other segments")
    segments = [await segment_of(request, each) for each in keys]
    found = await work.members.overlap(workspace_of(request), [each.key for each in segments if each.evaluated])
    return json_response(
        {
            "sizes": {each: found.sizes.get(each, 0) for each in keys},
            "intersections": [
                {"segments": group, "size": found.intersections.get(group, 0)}
                for count in range(2, len(keys) + 1)
                for group in combinations(keys, count)
            ],
            "union": found.union,
            "as_of": instant(work.now_ms()),
        }
    )


@router.get("/v1/segments/{key}/export", summary="Export a segment",
            responses=file_answers({each.media_type for each in ENCODERS.values()}, 404, 422))  # fmt: skip
async def export(
    request: Request,
    key: SegmentKey,
    format_: Annotated[Literal["csv", "jsonl", "parquet"], Query(alias="format")] = "csv",
) -> Response:
    """Every member as of the beginning of the answer: `profile_id` and `since`. As many as the size says.

    In CSV an id that a spreadsheet would take for a formula has an apostrophe before it.
    """
    work = work_of(request)
    segment = await segment_of(request, key)
    if not work.exports.free:
        raise ApiError(503, "unavailable", "as many exports as can be are under way", headers={"Retry-After": "5"})
    return Export(work.exports, work.members, segment, format_, format_ms(work.now_ms()))


def _member(member: Member) -> dict[str, str]:
    return {"profile_id": member.profile_id, "since": instant(member.since_ms)}


def _instant(text: str, name: str) -> int:
    at_ms = parse_date_ms(text)
    if at_ms is None or not 0 <= at_ms <= _LARGEST_MS:
        raise refused_parameter(name, "must be a date or a date-time of RFC 3339, from 1970 on")
    return at_ms
