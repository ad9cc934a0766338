"""``/v1/profiles``: a profile, its memberships, and why; the memberships of many profiles.

All but the explanation are answered ahead of these routes, by `entrance`; they stand here for the document.
"""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.segments.answers import JSON, json_response
from services.segments.drafts import read_body
from services.segments.entrance import LOOKUP, MEMBERSHIPS, MOST_LOOKUP_BYTES, PROFILE
from services.segments.openapi import answers, body
from services.segments.paths import ProfileId, SegmentKey
from services.segments.work import work_of, workspace_of

router = APIRouter(tags=["profiles"])


@router.get(PROFILE, summary="Read a profile", responses=answers("Profile", 404, 422))
async def read(request: Request, profile_id: ProfileId) -> Response:
    """Its traits, its computed traits, and the segments it is in now."""
    return Response(await work_of(request).desk.profile(workspace_of(request), profile_id), media_type=JSON)


@router.get(MEMBERSHIPS, summary="Memberships of a profile", responses=answers("Memberships", 422))
async def memberships(request: Request, profile_id: ProfileId) -> Response:
    """The segments it is in now, and since when. An unknown profile has an empty list."""
    return Response(await work_of(request).desk.memberships(workspace_of(request), profile_id), media_type=JSON)


@router.get("/v1/profiles/{profile_id}/explain/{segment_key}", summary="Explain a membership",
            responses=answers("Explanation", 404, 422))  # fmt: skip
async def explain(request: Request, profile_id: ProfileId, segment_key: SegmentKey) -> Response:
    """Why the profile is, or is not, in the segment; and when time alone will change it."""
    explanation = await work_of(request).explaining.explain(workspace_of(request), profile_id, segment_key)
    return json_response(explanation)


@router.post(LOOKUP, summary="Memberships of many profiles", openapi_extra=body("Lookup"),
             responses=answers("LookedUp", 400, 413, 422))  # fmt: skip
async def lookup(request: Request) -> Response:
    """Of up to 1,000 profiles; unknown ones are there with an empty list."""
    content = await read_body(request, MOST_LOOKUP_BYTES)
    return Response(await work_of(request).desk.lookup(workspace_of(request), content), media_type=JSON)
