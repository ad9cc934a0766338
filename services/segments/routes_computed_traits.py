"""``/v1/computed-traits``: measures of a profile's events that rules read as the trait ``computed.<key>``."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from audience.adapters.regex import compile_regex
from audience.ports.catalog import ComputedTraitMissing, SegmentInUse
from audience.rules import RuleInvalid, parse_computed_trait
from services._kit.errors import ApiError, FieldError
from services.segments.answers import computed_trait_json, json_response
from services.segments.cursors import key_behind, page_json
from services.segments.drafts import read_json
from services.segments.openapi import answers, body
from services.segments.paths import ComputedTraitKey
from services.segments.work import PAGE, Cursor, Limit, work_of, workspace_of

router = APIRouter(tags=["computed traits"])


@router.get("/v1/computed-traits", summary="Computed traits", responses=answers("ComputedTraitPage", 422))
async def page(request: Request, limit: Limit = PAGE, cursor: Cursor = "") -> Response:
    """In the order of their keys."""
    after = key_behind(cursor) if cursor else ""
    found = await work_of(request).computed_traits.page(workspace_of(request), after, limit + 1)
    return json_response(page_json("computed_traits", found, limit, computed_trait_json, lambda each: each.key))


@router.get("/v1/computed-traits/{key}", summary="Read a computed trait", responses=answers("ComputedTrait", 404, 422))
async def read(request: Request, key: ComputedTraitKey) -> Response:
    """Its definition."""
    found = await work_of(request).computed_traits.get(workspace_of(request), key)
    if found is None:
        raise no_computed_trait(key)
    return json_response(computed_trait_json(found))


@router.put("/v1/computed-traits/{key}", summary="Make or replace a computed trait",
            openapi_extra=body("ComputedTraitDraft"),
            responses={**answers("ComputedTrait", 400, 413, 422), **answers("ComputedTrait", status=201)})  # fmt: skip
async def put(request: Request, key: ComputedTraitKey) -> Response:
    """201 where it was made. `key` may be left out of the body."""
    content = await read_json(request)
    if isinstance(content, dict):
        content = {"key": key, **content}
    try:
        trait = parse_computed_trait(content, regex=compile_regex)
    except RuleInvalid as error:
        faults = [FieldError(code=each.code, path=each.path, message=each.message) for each in error.errors]
        raise ApiError(422, "rule_invalid", "the computed trait is refused", errors=faults) from error
    if trait.key != key or not isinstance(content, dict):
        fault = FieldError(code="bad_value", path="/key", message="must be the key in the path, or be left out")
        raise ApiError(422, "rule_invalid", "the computed trait is refused", errors=[fault])
    work = work_of(request)
    found, made = await work.computed_traits.put(workspace_of(request), key, content, work.now_ms())
    work.publisher.wake()
    return json_response(computed_trait_json(found), 201 if made else 200)


@router.delete("/v1/computed-traits/{key}", status_code=204, summary="Delete a computed trait",
               responses=answers(None, 404, 409, 422, status=204))  # fmt: skip
async def delete(request: Request, key: ComputedTraitKey) -> Response:
    """409 `in_use` where a segment's rule reads it."""
    work = work_of(request)
    try:
        await work.computed_traits.delete(workspace_of(request), key, work.now_ms())
    except ComputedTraitMissing as error:
        raise no_computed_trait(key) from error
    except SegmentInUse as error:
        raise ApiError(409, "in_use", f"segments read {key!r}: {', '.join(map(repr, error.users))}") from error
    work.publisher.wake()
    return Response(status_code=204)


def no_computed_trait(key: str) -> ApiError:
    """404."""
    return ApiError(404, "computed_trait_not_found", f"there is no computed trait {key!r}")
