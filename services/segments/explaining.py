"""Why a profile is, or is not, in a segment: the job's answer, with the events from the profile's history.

The job alone knows a profile's state, so it is asked; what was saved a moment ago it may not know yet, and is asked
again. Where the history cannot be read in time, the explanation is given without events.
"""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from audience.adapters.regex import compile_regex
from audience.engine.explain import with_events
from audience.ports.catalog import Segment, SegmentCatalog
from audience.ports.event_log import EventHistory, EventLogUnavailable
from audience.ports.questions import EvaluationUnavailable, Explainer, NotEvaluated
from audience.ports.stores import ProfileStore
from audience.rules import parse_rule
from audience.rules.dates import format_ms, parse_date_ms
from audience.rules.durations import DAY_MS
from audience.rules.references import nodes_of
from audience.rules.tree import EventNode, Node, Sequence
from services._kit.errors import ApiError, unavailable
from services.segments.entrance import no_profile
from services.segments.metrics import SegmentsMetrics
from services.segments.saving import no_segment

ASK_AGAIN_S: Final = 0.25
ASK_FOR_S: Final = 3.0
"""A saved segment is evaluated within 2 s; until then the job does not know it."""

log = structlog.stdlib.get_logger(__name__)


class Explaining:
    """Explains memberships."""

    def __init__(
        self,
        store: ProfileStore,
        catalog: SegmentCatalog,
        explainer: Explainer,
        history: EventHistory,
        metrics: SegmentsMetrics,
        *,
        kept_ms: int,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._explainer = explainer
        self._history = history
        self._metrics = metrics
        self._kept_ms = kept_ms

    async def explain(self, workspace: str, profile_id: str, key: str) -> Mapping[str, Any]:
        """The contract's JSON. Raises ApiError: 404, or 503 where the job does not answer."""
        if profile_id not in await self._store.memberships(workspace, [profile_id]):
            raise no_profile(profile_id)
        segment = await self._catalog.get(workspace, key)
        if segment is None:
            raise no_segment(key)
        if segment.status not in ("live", "paused"):
            raise ApiError(404, "segment_not_found", f"{key!r} is {segment.status}, so it is not evaluated")
        try:
            explanation = await self._ask(workspace, profile_id, key)
        except EvaluationUnavailable as error:
            raise unavailable("the streaming job") from error
        except NotEvaluated as error:
            if error.what == "profile_not_found":
                raise no_profile(profile_id) from error
            raise unavailable(f"the streaming job, which does not evaluate {key!r} yet,") from error
        return await self._with_events(segment, profile_id, explanation)

    async def _ask(self, workspace: str, profile_id: str, key: str) -> Mapping[str, Any]:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(NotEvaluated),
            wait=wait_fixed(ASK_AGAIN_S),
            stop=stop_after_delay(ASK_FOR_S),
            reraise=True,
        ):
            with attempt:
                return await self._explainer.explain(workspace, profile_id, key)
        raise AssertionError("tenacity gives the result or raises")

    async def _with_events(
        self, segment: Segment, profile_id: str, explanation: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        try:
            events = await self._history.events_of(segment.workspace, profile_id)
        except EventLogUnavailable as error:
            self._metrics.histories_missing.inc()
            log.warning("an explanation has no events", segment=segment.key, error=str(error))
            return explanation
        if explanation.get("version") != segment.version:
            return explanation  # the rule was changed meanwhile: its nodes are not those of the explanation
        rule = parse_rule(segment.rule, regex=compile_regex)
        now_ms = parse_date_ms(explanation["as_of"])
        if now_ms is None:
            raise ValueError("the job's answer has no time")
        found = with_events(explanation, rule, events, now_ms, compile_regex)
        kept_from_ms = (now_ms - self._kept_ms) // DAY_MS * DAY_MS
        if _looks_behind(rule, now_ms, kept_from_ms) and await self._is_older(segment, profile_id, kept_from_ms):
            found["events_from"] = format_ms(kept_from_ms)
        return found

    async def _is_older(self, segment: Segment, profile_id: str, at_ms: int) -> bool:
        profile = (await self._store.get_many(segment.workspace, [profile_id])).get(profile_id)
        return profile is not None and profile.created_ms < at_ms


def _looks_behind(rule: Node, now_ms: int, at_ms: int) -> bool:
    """Whether the rule asks for events from before an instant."""
    windows = [node.window for node in nodes_of(rule) if isinstance(node, EventNode | Sequence)]
    return any(window is None or window.first_pane(now_ms) * window.step_ms < at_ms for window in windows)
