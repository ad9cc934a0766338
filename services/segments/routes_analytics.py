"""``/v1/analytics``: what happened, counted over the lake. Read-only, bounded in memory and time."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from audience.adapters.lake.analytics import (
    ActiveProfiles,
    Analysis,
    EventsOverTime,
    Funnel,
    Retention,
    Span,
    TopEvents,
    TopProperties,
)
from audience.ports.lake import LakeTooSlow, LakeUnavailable
from audience.rules.durations import DurationError, parse_duration
from services._kit.errors import ApiError, FieldError, unavailable
from services.segments import lake_worker
from services.segments.answers import instant, json_response
from services.segments.lake_worker import Busy
from services.segments.openapi import answers
from services.segments.work import work_of, workspace_of

DAYS: Final = 30
MOST_DAYS: Final = 731
MOST_STEPS: Final = 10

router = APIRouter(tags=["analytics"])

First = Annotated[date | None, Query(alias="from", description="The first day, UTC; 30 days before the last.")]
Last = Annotated[date | None, Query(alias="to", description="The last day, UTC; today.")]
Limit = Annotated[int, Query(ge=1, le=1_000, description="How many at most.")]
Name = Annotated[str | None, Query(max_length=1_000, description="Only events of this name.")]


@router.get("/v1/analytics/events", summary="Events of each day", responses=answers("Analysis", 422))
async def events(
    request: Request,
    first: First = None,
    last: Last = None,
    event: Name = None,
    type: Name = None,  # noqa: A002  the query's
) -> Response:
    """As counted at `as_of`: today's grow."""
    return await _answer(request, lambda span: EventsOverTime(span, event, type), first, last)


@router.get("/v1/analytics/profiles", summary="Active profiles of each day", responses=answers("Analysis", 422))
async def profiles(request: Request, first: First = None, last: Last = None) -> Response:
    """Profiles with an event of that day, and their events."""
    return await _answer(request, ActiveProfiles, first, last)


@router.get("/v1/analytics/top-events", summary="The most frequent events", responses=answers("Analysis", 422))
async def top_events(request: Request, first: First = None, last: Last = None, limit: Limit = 20) -> Response:
    """By type and name."""
    return await _answer(request, lambda span: TopEvents(span, limit), first, last)


@router.get("/v1/analytics/top-properties", summary="What events carry", responses=answers("Analysis", 422))
async def top_properties(
    request: Request,
    event: Annotated[str, Query(max_length=1_000)],
    property: Annotated[str, Query(max_length=1_000, description="Dots walk into objects.")] = "",  # noqa: A002
    first: First = None,
    last: Last = None,
    limit: Limit = 20,
) -> Response:
    """The most frequent values of a property, as JSON; without one the properties that the events have."""
    path = tuple(property.split(".")) if property else ()
    return await _answer(request, lambda span: TopProperties(span, event, path, limit), first, last)


@router.get("/v1/analytics/funnel", summary="A funnel", responses=answers("Analysis", 422))
async def funnel(
    request: Request,
    step: Annotated[list[str], Query(min_length=1, max_length=MOST_STEPS, description="Events' names, in order.")],
    within: Annotated[str, Query(description="The longest time from the first step to the last.")] = "7d",
    first: First = None,
    last: Last = None,
) -> Response:
    """How many profiles began in the time, and got to each step within so long of the first."""
    try:
        within_ms = parse_duration(within)
    except DurationError as error:
        raise _refused("/within", "bad_duration", str(error)) from error
    return await _answer(request, lambda span: Funnel(span, tuple(step), within_ms), first, last)


@router.get("/v1/analytics/retention", summary="Who comes back, by week", responses=answers("Analysis", 422))
async def retention(request: Request, first: First = None, last: Last = None, event: Name = None) -> Response:
    """Cohorts by the week (from Monday) of a profile's first event in the time; week 0 is the cohort itself."""
    return await _answer(request, lambda span: Retention(span, event), first, last)


async def _answer(
    request: Request, asked: Callable[[Span], Analysis], first: date | None, last: date | None
) -> Response:
    work = work_of(request)
    last = last or date.fromisoformat(instant(work.now_ms())[:10])
    try:
        first = first or last - timedelta(days=DAYS)
    except OverflowError as error:
        raise _refused("/to", "bad_value", "there are no 30 days before it") from error
    if not timedelta(0) <= last - first <= timedelta(days=MOST_DAYS) or last.year > 9_000:
        raise _refused("/from", "bad_value", f"must be at most {MOST_DAYS} days before `to`, and not after it")
    question = asked(Span(workspace_of(request), first, last))
    try:
        rows, complete_to_ms = await work.analytics.ask(lake_worker.analyse, question, work.analytics_limit_ms / 1_000)
    except Busy as error:
        raise ApiError(503, "too_many_questions", str(error), headers={"Retry-After": "2"}) from error
    except LakeTooSlow as error:
        raise ApiError(503, "too_slow", "this takes longer than it may; ask for fewer days") from error
    except LakeUnavailable as error:
        raise unavailable("the lake") from error
    return json_response({"rows": rows, "as_of": instant(complete_to_ms) if complete_to_ms else None})


def _refused(path: str, code: str, message: str) -> ApiError:
    fault = FieldError(code=code, path=path, message=message)
    return ApiError(422, "invalid_request", "the request is not of the right shape", errors=[fault])
