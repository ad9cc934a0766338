"""``/v1/sources/{source}/tracking-plan``: what a source's events ought to look like, and how often they do not."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from audience.adapters.json_schema import compile_schema
from audience.events.tracking_plans import PlanInvalid, parse_plan
from audience.ports.tracking_plans import PlanCount, PlanSourceMissing, SavedPlan
from audience.rules.dates import format_ms
from services._kit.errors import ApiError
from services.segments.answers import instant, json_response
from services.segments.drafts import read_json
from services.segments.openapi import answers, body
from services.segments.sending_side import SourceId, fault, no_source, source_of
from services.segments.work import work_of, workspace_of

MOST_COUNTS = 1_000

router = APIRouter(tags=["sources"])


@router.get("/v1/sources/{source}/tracking-plan", summary="Read a tracking plan",
            responses=answers("TrackingPlan", 404, 422))  # fmt: skip
async def read(request: Request, source: SourceId) -> Response:
    """404 `tracking_plan_not_found` where the source has none."""
    sending, workspace = work_of(request).sending, workspace_of(request)
    await source_of(sending.sources, workspace, source)
    found = await sending.plans.get(workspace, source)
    if found is None:
        raise _no_plan(source)
    return json_response(_plan_json(found))


@router.put("/v1/sources/{source}/tracking-plan", summary="Make or replace a tracking plan",
            openapi_extra=body("TrackingPlanDraft"),
            responses=answers("TrackingPlan", 400, 404, 413, 422))  # fmt: skip
async def put(request: Request, source: SourceId) -> Response:
    """In effect within 5 s. 422 `plan_invalid`, with every fault and its place."""
    content = await read_json(request)
    try:
        parse_plan(content, compile_schema)
    except PlanInvalid as error:
        faults = [fault(each.code, each.path, each.message) for each in error.faults]
        raise ApiError(422, "plan_invalid", "the tracking plan is refused", errors=faults) from error
    work = work_of(request)
    document = dict(content) if isinstance(content, dict) else {}
    try:
        saved = await work.sending.plans.put(workspace_of(request), source, document, work.now_ms())
    except PlanSourceMissing as error:
        raise no_source(source) from error
    return json_response(_plan_json(saved))


@router.delete("/v1/sources/{source}/tracking-plan", status_code=204, summary="Take a tracking plan away",
               responses=answers(None, 404, 422, status=204))  # fmt: skip
async def delete(request: Request, source: SourceId) -> Response:
    """Within 5 s. What was counted stays."""
    if not await work_of(request).sending.plans.delete(workspace_of(request), source):
        raise _no_plan(source)
    return Response(status_code=204)


@router.get("/v1/sources/{source}/tracking-plan/violations", summary="How often events broke the plan",
            responses=answers("PlanViolations", 404, 422))  # fmt: skip
async def violations(
    request: Request,
    source: SourceId,
    limit: Annotated[int, Query(ge=1, le=MOST_COUNTS, description="How many at most.")] = 100,
) -> Response:
    """By day (UTC), event and code, the last days first. A few seconds behind."""
    sending, workspace = work_of(request).sending, workspace_of(request)
    await source_of(sending.sources, workspace, source)
    counts = await sending.plans.counts(workspace, source, limit)
    return json_response({"source": source, "violations": list(map(_count_json, counts))})


def _plan_json(plan: SavedPlan) -> dict[str, Any]:
    return {
        "source": plan.source,
        "mode": plan.document.get("mode", "allow"),
        "unplanned": plan.document.get("unplanned", "ignore"),
        "events": plan.document.get("events", {}),
        "types": plan.document.get("types", {}),
        "revision": plan.revision,
        "updated_at": format_ms(plan.updated_ms),
    }


def _count_json(count: PlanCount) -> dict[str, Any]:
    return {
        "day": count.day,
        "event": count.event,
        "code": count.code,
        "mode": count.mode,
        "events": count.events,
        "last_at": instant(count.last_ms),
        "last_path": count.last_path,
        "last_message": count.last_message,
    }


def _no_plan(source: str) -> ApiError:
    return ApiError(404, "tracking_plan_not_found", f"source {source!r} has no tracking plan")
