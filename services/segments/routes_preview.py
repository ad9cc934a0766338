"""``POST /v1/segments/preview``: how large a segment would be, before it is saved."""

import time
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from audience.adapters.regex import compile_regex
from audience.ports.lake import LakeTooSlow, LakeUnavailable
from audience.rules import References, parse_computed_trait, parse_rule
from audience.rules.references import computed_traits_of, segments_of
from services._kit.errors import ApiError, FieldError, unavailable
from services.segments import lake_worker
from services.segments.answers import instant, json_response
from services.segments.drafts import escaped, read_json
from services.segments.lake_worker import Busy
from services.segments.openapi import answers, body
from services.segments.previewing import Preview
from services.segments.saving import rule_refused
from services.segments.work import Work, work_of, workspace_of

LONGEST_MS: Final = 60_000
_FIELDS: Final = ("rule", "time_limit_ms")

router = APIRouter(tags=["segments"])


@router.post("/v1/segments/preview", summary="Preview a rule", openapi_extra=body("PreviewDraft"),
             responses=answers("Preview", 400, 413, 422))  # fmt: skip
async def preview(request: Request) -> Response:
    """How many profiles the rule would have now, and some of them. Exact, or where the time limit nears an estimate
    with the interval in which the size lies with a probability of 95%. Nothing is saved."""
    began_s = time.monotonic()
    work, workspace = work_of(request), workspace_of(request)
    rule, limit_ms = _fields(await read_json(request), work.preview_limit_ms)
    with rule_refused():
        asked = await _asked(work, workspace, rule)
    try:
        found = await work.previews.ask(lake_worker.preview, asked, limit_ms / 1_000)
    except Busy as error:
        raise ApiError(503, "too_many_previews", str(error), headers={"Retry-After": "2"}) from error
    except LakeTooSlow as error:
        message = "not one profile was decided in time; allow more of it by time_limit_ms"
        raise ApiError(422, "preview_too_slow", message) from error
    except LakeUnavailable as error:
        raise unavailable("the lake") from error
    answer: dict[str, Any] = {
        "size": found.size,
        "sample": list(found.sample),
        "evaluated": found.evaluated,
        "exact": found.exact,
        "interval": None if found.exact else {"low": found.low, "high": found.high, "confidence": 0.95},
        "as_of": instant(found.complete_to_ms) if found.complete_to_ms else None,
        "took_ms": round((time.monotonic() - began_s) * 1_000),
    }
    return json_response(answer)


def _fields(content: object, default_ms: int) -> tuple[dict[str, Any], int]:
    """The rule, an object of any kind still, and the time limit. Raises ApiError."""
    if not isinstance(content, dict):
        raise _refused([FieldError(code="wrong_type", path="", message="must be an object")])
    faults = [
        FieldError(code="unknown_key", path=f"/{escaped(name)}", message="there is no such key")
        for name in content
        if name not in _FIELDS
    ]
    rule, limit_ms = content.get("rule"), content.get("time_limit_ms", default_ms)
    if "rule" not in content:
        faults.append(FieldError(code="missing_key", path="", message="'rule' is missing"))
    elif not isinstance(rule, dict):
        faults.append(FieldError(code="wrong_type", path="/rule", message="must be an object"))
    if not isinstance(limit_ms, int) or isinstance(limit_ms, bool):
        faults.append(FieldError(code="wrong_type", path="/time_limit_ms", message="must be a whole number"))
    elif not 1 <= limit_ms <= LONGEST_MS:
        faults.append(FieldError(code="bad_value", path="/time_limit_ms", message=f"must be 1 to {LONGEST_MS}"))
    if faults:
        raise _refused(faults)
    return rule or {}, limit_ms


def _refused(faults: list[FieldError]) -> ApiError:
    return ApiError(422, "invalid_request", "the request is not of the right shape", errors=faults)


async def _asked(work: Work, workspace: str, rule: dict[str, Any]) -> Preview:
    """The rule with all that it refers to, as the catalog has it now. Raises RuleInvalid."""
    view = await work.catalog.view(workspace)
    references = References(None, view.segments, view.lists, view.computed_traits)
    parsed = parse_rule(rule, regex=compile_regex, references=references)
    segments = {}
    paused = set()
    waiting = list(segments_of(parsed))
    while waiting:
        key = waiting.pop()
        if key in segments or key in paused:
            continue
        segment = await work.catalog.get(workspace, key)
        if segment is None or not segment.evaluated:
            continue  # gone since the view: nobody is in it
        if segment.status == "paused":
            paused.add(key)
            continue
        segments[key] = parse_rule(segment.rule, regex=compile_regex)
        waiting += segments_of(segments[key])
    traits = []
    for name in sorted(frozenset[str]().union(*map(computed_traits_of, (parsed, *segments.values())))):
        saved = await work.computed_traits.get(workspace, name)
        if saved is not None:
            traits.append(parse_computed_trait(saved.definition, regex=compile_regex))
    return Preview(workspace, parsed, work.now_ms(), segments, frozenset(paused), tuple(traits))
