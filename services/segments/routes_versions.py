"""``/v1/segments/{key}/versions``: the rules that a segment has had, and what changed from each to the next."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from audience.adapters.regex import compile_regex
from audience.ports.catalog import SegmentVersion
from audience.rules import describe, parse_rule
from audience.rules.dates import format_ms
from services._kit.errors import ApiError
from services.segments.answers import json_response
from services.segments.cursors import behind, cursor_of, refused_parameter
from services.segments.openapi import answers
from services.segments.paths import SegmentKey
from services.segments.wording import differences
from services.segments.work import PAGE, Cursor, Limit, segment_of, work_of

_LARGEST: Final = 2**63 - 1

router = APIRouter(tags=["segments"])


@router.get("/v1/segments/{key}/versions", summary="Versions of a segment", responses=answers("VersionPage", 404, 422))
async def versions(request: Request, key: SegmentKey, limit: Limit = PAGE, cursor: Cursor = "") -> Response:
    """The newest first. `changes` says in words what is different from the version before."""
    segment = await segment_of(request, key)
    found = await work_of(request).catalog.versions(segment.workspace, key, _before(cursor), limit + 1)
    shown = found[:limit]
    return json_response(
        {
            "versions": [
                _version(each, found[at + 1] if at + 1 < len(found) else None) for at, each in enumerate(shown)
            ],
            "next_cursor": cursor_of(str(shown[-1].version)) if len(found) > limit else None,
        }
    )


@router.get("/v1/segments/{key}/versions/{version}", summary="A version of a segment",
            responses=answers("Version", 404, 422))  # fmt: skip
async def version(request: Request, key: SegmentKey, version: Annotated[int, Path(ge=1, le=_LARGEST - 1)]) -> Response:
    """Old versions stay readable for as long as the segment is there."""
    segment = await segment_of(request, key)
    found = await work_of(request).catalog.versions(segment.workspace, key, version + 1, 2)
    if not found or found[0].version != version:
        raise ApiError(404, "version_not_found", f"{key!r} has no version {version}")
    return json_response(_version(found[0], found[1] if len(found) > 1 else None))


def _version(version: SegmentVersion, before: SegmentVersion | None) -> dict[str, Any]:
    return {
        "version": version.version,
        "rule": version.rule,
        "description": describe(parse_rule(version.rule, regex=compile_regex)),
        "created_at": format_ms(version.created_ms),
        "changes": [] if before is None else differences(before.rule, version.rule),
    }


def _before(cursor: str) -> int:
    if not cursor:
        return _LARGEST
    last = behind(cursor)
    if not last.isascii() or not last.isdigit() or int(last) > _LARGEST:
        raise refused_parameter("cursor", "must be the `next_cursor` of a page")
    return int(last)
