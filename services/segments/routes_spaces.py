"""``/v1/spaces``: the Profile API in Segment's shape, for applications that read profiles with it already."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import AfterValidator
from starlette.responses import Response

from audience.ports.event_log import KeptEvent
from audience.profiles.model import Profile
from audience.rules.dates import parse_date_ms
from services._kit.errors import ApiError
from services.segments.answers import json_response
from services.segments.openapi import answers
from services.segments.paths import decode_once
from services.segments.spaces import (
    EVENTS_KEPT_MS,
    TraitClass,
    cursor_json,
    event_json,
    external_ids,
    metadata_json,
    traits_of,
    with_sources,
)
from services.segments.work import Work, work_of, workspace_of

MOST: Final = 200
_LARGEST: Final = 2**31
_PROFILE: Final = "/v1/spaces/{space}/collections/{collection}/profiles/{external_id}"
_ID_TYPES: Final = ("user_id", "anonymous_id")


router = APIRouter(tags=["profile api"])

Space = Annotated[str, AfterValidator(decode_once), Path(description="The workspace.", examples=["demo"])]
Collection = Annotated[Literal["users", "accounts"], Path(description="There are users alone.")]
ExternalId = Annotated[
    str, AfterValidator(decode_once), Path(description="Type and id, `user_id:ada`.", examples=["user_id:ada"])
]
Most = Annotated[int, Query(ge=1, le=MOST, description="How many at most.")]
Next = Annotated[int, Query(ge=0, le=_LARGEST, alias="next", description="`next` of the page before.")]
Names = Annotated[str, Query(description="Names, with commas between them.")]


def _answers(schema: str) -> dict[int | str, dict[str, Any]]:
    return answers(schema, 404, 422, error="SpaceError")


@router.get(f"{_PROFILE}/traits", summary="Traits of a profile", responses=_answers("SpaceTraits"))
async def traits(
    request: Request,
    space: Space,
    collection: Collection,
    external_id: ExternalId,
    include: Names = "",
    limit: Most = 10,
    begin: Next = 0,
    of: Annotated[TraitClass | None, Query(alias="class", description="One kind of traits.")] = None,
    verbose: Annotated[bool, Query(description="With source and time.")] = False,  # noqa: FBT002  a query's
) -> Response:
    """By name. A segment that the profile is in is a trait that is `true`."""
    work, profile = await _found(request, space, collection, external_id)
    found = traits_of(profile, work.copy.evaluated(profile.workspace), of)
    wanted = _names(include)
    names = sorted(name for name in found if not wanted or name in wanted)
    page = {name: found[name] for name in names[begin : begin + limit]}
    if verbose and any(name in profile.traits for name in page):
        page = with_sources(page, await _events(work, profile))
    return json_response(
        {
            "traits": {name: each.verbose() if verbose else each.value for name, each in page.items()},
            "cursor": cursor_json(_url(request), begin, limit, len(names)),
        }
    )


@router.get(f"{_PROFILE}/external_ids", summary="Ids of a profile", responses=_answers("SpaceExternalIds"))
async def ids(
    request: Request,
    space: Space,
    collection: Collection,
    external_id: ExternalId,
    limit: Most = 10,
    begin: Next = 0,
) -> Response:
    """Those that the events came with that are kept."""
    work, profile = await _found(request, space, collection, external_id)
    found = external_ids(profile, await _events(work, profile))
    page = found[begin : begin + limit]
    return json_response({"data": page, "cursor": cursor_json(_url(request), begin, limit, len(found))})


@router.get(f"{_PROFILE}/events", summary="Events of a profile", responses=_answers("SpaceEvents"))
async def events(
    request: Request,
    space: Space,
    collection: Collection,
    external_id: ExternalId,
    start: Annotated[str, Query(description="RFC 3339; not before it.")] = "",
    end: Annotated[str, Query(description="RFC 3339; not after it.")] = "",
    include: Names = "",
    exclude: Names = "",
    limit: Most = 10,
    begin: Next = 0,
    sort: Literal["desc", "asc"] = "desc",
) -> Response:
    """Of the last 14 days, the newest first."""
    work, profile = await _found(request, space, collection, external_id)
    from_ms = max(_instant(start, "start", 0), work.now_ms() - EVENTS_KEPT_MS)
    to_ms = _instant(end, "end", work.now_ms())
    wanted, unwanted = _names(include), _names(exclude)
    found = [
        each
        for each in await _events(work, profile)
        if from_ms <= each.time_ms <= to_ms and (not wanted or each.name in wanted) and each.name not in unwanted
    ]
    found.sort(key=lambda each: (each.time_ms, each.message_id), reverse=sort == "desc")
    page = list(map(event_json, found[begin : begin + limit]))
    return json_response({"data": page, "cursor": cursor_json(_url(request), begin, limit, len(found))})


@router.get(f"{_PROFILE}/metadata", summary="Metadata of a profile", responses=_answers("SpaceMetadata"))
async def metadata(request: Request, space: Space, collection: Collection, external_id: ExternalId) -> Response:
    """When it began and changed; the first and last of its events that are kept."""
    work, profile = await _found(request, space, collection, external_id)
    return json_response({"metadata": metadata_json(profile, await _events(work, profile))})


@router.get(f"{_PROFILE}/links", summary="Links of a profile", responses=_answers("SpaceLinks"))
async def links(request: Request, space: Space, collection: Collection, external_id: ExternalId) -> Response:
    """Accounts are not kept, so there are none."""
    await _found(request, space, collection, external_id)
    return json_response({"data": [], "cursor": cursor_json(_url(request), 0, 10, 0)})


async def _found(request: Request, space: str, collection: str, external_id: str) -> tuple[Work, Profile]:
    """The profile. Raises ApiError 404, 422."""
    work, workspace = work_of(request), workspace_of(request)
    kind, colon, value = external_id.partition(":")
    if not colon or not kind or not value:
        raise ApiError(422, "invalid_request", "a profile is named by a type and an id, as `user_id:ada`")
    if space == workspace and collection == "users":
        found = await _profile(work, workspace, kind, value)
        if found is not None:
            return work, found
    raise ApiError(404, "profile_not_found", "there is no such profile")


async def _profile(work: Work, workspace: str, kind: str, value: str) -> Profile | None:
    """By its own id, or by one that its events came with; of several profiles that came with it, the last."""
    if kind in _ID_TYPES and (found := (await work.profiles.get_many(workspace, [value])).get(value)) is not None:
        return found
    if kind == "user_id" or "\0" in kind:
        return None
    profile_id = await work.external_ids.profile_of(workspace, kind, value)
    if profile_id is None:
        return None
    return (await work.profiles.get_many(workspace, [profile_id])).get(profile_id)


async def _events(work: Work, profile: Profile) -> Sequence[KeptEvent]:
    """Each once, in the order of acceptance."""
    found = await work.history.events_of(profile.workspace, profile.profile_id)
    return list({(each.source, each.message_id): each for each in reversed(list(found))}.values())[::-1]


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, text.split(",")))


def _instant(text: str, name: str, default: int) -> int:
    if not text:
        return default
    at_ms = parse_date_ms(text)
    if at_ms is None:
        raise ApiError(422, "invalid_request", f"{name} must be a date or a date-time of RFC 3339")
    return at_ms


def _url(request: Request) -> str:
    return request.url.path
