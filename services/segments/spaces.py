"""The Profile API in Segment's shape, made of a profile and its events. Errors are ``{"error": {"code", "message"}}``.

Pure: what is read, and from where, is the routes' business.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
from starlette.responses import Response
from starlette.types import Scope

from audience.events.ids import ExternalId, ids_of
from audience.ports.event_log import KeptEvent
from audience.profiles.model import Profile
from services._kit.errors import ApiError, plain
from services.segments.answers import instant
from services.segments.paths import as_sent

SPACES: Final = "/v1/spaces/"
EVENTS_KEPT_MS: Final = 14 * 24 * 60 * 60 * 1_000
_CODES: Final = {
    401: "authentication_error",
    403: "authentication_error",
    404: "not_found",
    422: "validation_error",
    429: "rate_limit_error",
    500: "internal_error",
    503: "unavailable",
}
TraitClass = Literal["audience", "computed_trait"]


def shaped(error: ApiError, scope: Scope) -> Response:
    """The answer for an error, in the shape of what was asked."""
    if not as_sent(scope).startswith(SPACES):
        return plain(error, scope)
    message = "; ".join([error.message, *(f"{each['path']} {each['message']}" for each in error.errors)])
    told = {"error": {"code": _CODES.get(error.status, "invalid_request_error"), "message": message}}
    return Response(msgspec.json.encode(told), error.status, dict(error.headers or {}), media_type="application/json")


@dataclass(frozen=True, slots=True)
class Trait:
    """A trait, when it got its value, and from which source, as far as that is known."""

    value: Any
    updated_ms: int
    source: str = ""

    def verbose(self) -> dict[str, Any]:
        """With its origin."""
        return {"value": self.value, "source_id": self.source, "updated_at": instant(self.updated_ms)}


def traits_of(profile: Profile, shown: frozenset[str], of: TraitClass | None) -> dict[str, Trait]:
    """The traits by name: those of its own, computed ones, and ``true`` for each segment that it is in."""
    own = {name: Trait(value, profile.updated_ms) for name, value in profile.traits.items()}
    computed = {name: Trait(value, profile.updated_ms) for name, value in profile.computed.items()}
    audiences = {
        each.segment: Trait(value=True, updated_ms=each.since_ms) for each in profile.segments if each.segment in shown
    }
    match of:
        case "audience":
            return audiences
        case "computed_trait":
            return computed
        case None:
            return own | computed | audiences


def with_sources(traits: Mapping[str, Trait], events: Iterable[KeptEvent]) -> dict[str, Trait]:
    """The traits with the source and the time of the newest event that gave each its value.

    Those of which no event is kept that did, and what the platform itself makes of events, stay as they are.
    """
    found = dict(traits)
    given: dict[str, KeptEvent] = {}
    for event in events:
        for name, value in _traits_given(event).items():
            if name in traits and traits[name].value == value and _newer(event, given.get(name)):
                given[name] = event
    for name, event in given.items():
        found[name] = Trait(traits[name].value, event.time_ms, event.source)
    return found


def _newer(event: KeptEvent, than: KeptEvent | None) -> bool:
    return than is None or event.time_ms >= than.time_ms


def _traits_given(event: KeptEvent) -> Mapping[str, Any]:
    return event.traits if event.type == "identify" else {}


def event_json(event: KeptEvent) -> dict[str, Any]:
    """An event of a profile."""
    return {
        "external_ids": list(map(_external_id, ids_of(event))),
        "context": event.context,
        "type": event.type,
        "message_id": event.message_id,
        "source_id": event.source,
        "timestamp": instant(event.time_ms),
        "properties": event.properties if event.type != "identify" else event.traits,
        "event": event.name,
        "related": {},
    }


def external_ids(profile: Profile, events: Iterable[KeptEvent]) -> list[dict[str, Any]]:
    """Every id that its events came with, each with the first of them; the profile's own where there are none."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for event in events:
        for each in ids_of(event):
            if (each.type, each.id) not in found:
                origin = {"source_id": event.source, "created_at": instant(event.received_ms)}
                found[each.type, each.id] = {**_external_id(each), **origin, "first_message_id": event.message_id}
    if not found:
        origin = {"source_id": "", "created_at": instant(profile.created_ms), "first_message_id": ""}
        return [{**_external_id(ExternalId("user_id", profile.profile_id)), **origin}]
    return list(found.values())


def metadata_json(profile: Profile, events: Sequence[KeptEvent]) -> dict[str, Any]:
    """When a profile began and changed, and the first and last of its events that are kept."""
    first, last = (events[0], events[-1]) if events else (None, None)
    return {
        "created_at": instant(profile.created_ms),
        "updated_at": instant(profile.updated_ms),
        "expires_at": None,
        "first_message_id": first and first.message_id,
        "last_message_id": last and last.message_id,
        "first_source_id": first and first.source,
        "last_source_id": last and last.source,
    }


def cursor_json(url: str, begin: int, limit: int, total: int) -> Mapping[str, Any]:
    """Where the next page begins."""
    more = begin + limit < total
    return {"url": url, "has_more": more, "next": str(begin + limit) if more else "", "limit": limit}


def _external_id(of: ExternalId) -> dict[str, Any]:
    return {"id": of.id, "type": of.type, "collection": of.collection, "encoding": of.encoding}
