"""What /openapi.json says of segment-api beyond what FastAPI sees: bodies, answers, errors, credentials.

The handlers read and write JSON themselves (msgspec, and errors of one shape), so the schemas stand here.
"""

from collections.abc import Collection
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

_TIME: Final = {"type": "string", "format": "date-time", "examples": ["2026-01-31T12:00:00.000Z"]}
_KEY: Final = {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$", "examples": ["repeat-buyers"]}
_RULE: Final = {
    "type": "object",
    "description": "A node of the rule language (docs/rules.md).",
    "additionalProperties": True,
    "examples": [{"event": "Order Completed", "within": "30d", "is": {"gte": 2}}],
}
_STATUS: Final = {"enum": ["draft", "live", "paused", "archived"]}
_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_ID: Final = {"type": "string", "examples": ["ada"]}
_CURSOR: Final = {"type": ["string", "null"], "description": "For the next page; null on the last."}
_LIST_KEY: Final = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$", "examples": ["newsletter-2026"]}


def _object(required: str, properties: dict[str, Any], *, more: bool = False) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties, "additionalProperties": more}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def ref(name: str) -> dict[str, str]:
    """A reference to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


_DRAFT: Final[dict[str, Any]] = {
    "key": _KEY,
    "name": {"type": "string", "maxLength": 200, "description": "Defaults to the key."},
    "description": {"type": "string", "maxLength": 4000, "default": ""},
    "rule": _RULE,
    "tags": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 100}, "maxItems": 50,
             "uniqueItems": True, "default": []},
    "status": {**_STATUS, "default": "draft"},
}  # fmt: skip

_LIST: Final[dict[str, Any]] = {
    "key": _LIST_KEY,
    "name": _TEXT,
    "size": _COUNT,
    "created_at": _TIME,
    "updated_at": _TIME,
}
_COMPUTED_TRAIT: Final[dict[str, Any]] = {
    "key": {**_LIST_KEY, "examples": ["ltv"]},
    "event": {"type": "string", "examples": ["Order Completed"]},
    "type": {"enum": ["track", "page", "screen"]},
    "where": _array({"type": "object"}),
    "within": {"type": "string", "examples": ["365d"]},
    "measure": {"type": ["string", "object"], "examples": [{"sum": "total"}]},
}
_SOURCE_KIND: Final = {"enum": ["server", "browser", "mobile"]}
_SOURCE: Final = _object(
    "source name kind write_key events_per_s",
    {"source": _KEY, "name": _TEXT, "kind": _SOURCE_KIND, "write_key": _TEXT,
     "events_per_s": {"type": ["integer", "null"]}},
)  # fmt: skip
_JSON_SCHEMAS: Final = {"type": "object", "additionalProperties": {"type": ["object", "boolean"]},
                        "maxProperties": 1_000}  # fmt: skip
_PLAN: Final[dict[str, Any]] = {
    "mode": {"enum": ["allow", "flag", "block"], "default": "allow"},
    "unplanned": {"enum": ["ignore", "allow", "flag", "block"], "default": "ignore"},
    "events": {**_JSON_SCHEMAS, "description": "By a track event's name, the JSON Schema of its `properties`, `traits` "
               "and `context`.", "examples": [{"Order Completed": {"properties": {"properties": {
                   "type": "object", "required": ["total"]}}}}]},
    "types": {**_JSON_SCHEMAS, "description": "The same for identify, page, screen, group and alias."},
}  # fmt: skip
_PLAN_COUNT: Final = _object(
    "day event code mode events last_at last_path last_message",
    {"day": {"type": "string", "format": "date"}, "event": _TEXT, "code": _TEXT, "mode": _TEXT, "events": _COUNT,
     "last_at": _TIME, "last_path": _TEXT, "last_message": _TEXT},
)  # fmt: skip
_BAD_EVENT: Final = _object(
    "place received_at source code path message profile_id request size_bytes cut",
    {
        "place": _TEXT, "received_at": _TIME, "source": _TEXT, "code": _TEXT,
        "path": {"type": "string", "description": "A JSON pointer into the event."}, "message": _TEXT,
        "profile_id": {"type": ["string", "null"]},
        "request": {"type": ["object", "null"], "description": "What the event's request gave to it."},
        "size_bytes": _COUNT,
        "cut": {"type": "boolean", "description": "Whether only the beginning of the original is here."},
        "original": {"type": "string", "description": "As it came, where that is text."},
        "original_base64": {"type": "string", "description": "Where it is none."},
    },
)  # fmt: skip
_SPACE_CURSOR: Final = _object(
    "url has_more next limit",
    {"url": _TEXT, "has_more": {"type": "boolean"}, "next": _TEXT, "limit": {"type": "integer"}},
)

SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "Error": _object(
        "code message request_id",
        {
            "code": {"type": "string", "description": "Stable; for programs."},
            "message": {"type": "string", "description": "For people."},
            "errors": _array(
                _object(
                    "code path message",
                    {"code": _TEXT, "path": {"type": "string", "description": "A JSON pointer."}, "message": _TEXT},
                )
            ),
            "request_id": _TEXT,
        },
    ),
    "SegmentDraft": _object("key rule", _DRAFT),
    "SegmentReplacement": _object("rule", _DRAFT),
    "Segment": _object(
        "key name description rule tags status version size created_at updated_at evaluated_at backfill",
        {
            **_DRAFT,
            "version": {"type": "integer", "minimum": 1, "description": "Counts the changes of the rule."},
            "size": {**_COUNT, "description": "How many profiles are members now."},
            "created_at": _TIME,
            "updated_at": _TIME,
            "evaluated_at": {
                **_TIME,
                "type": ["string", "null"],
                "description": "Every event accepted by then counts in the memberships; null while it is not live, or "
                "not evaluated yet as it was saved last.",
            },
            "backfill": {
                "description": "The last one; null where there was none.",
                "anyOf": [ref("Backfill"), {"type": "null"}],
            },
        },
    ),
    "Backfill": _object(
        "number version state reason phase profiles_done profiles_total seconds_left created_at ended_at",
        {
            "number": {"type": "integer", "minimum": 1},
            "version": {"type": "integer", "minimum": 1, "description": "The segment's."},
            "state": {"enum": ["waiting", "running", "paused", "done", "cancelled", "failed", "unavailable"]},
            "reason": {
                "type": ["string", "null"],
                "description": "Why so: cancelled, superseded, not_evaluated, internal, no_lake.",
            },
            "phase": {"enum": ["defining", "archiving", "sending", "confirming", "ended", None]},
            "profiles_done": _COUNT,
            "profiles_total": {**_COUNT, "description": "0 before it is known."},
            "seconds_left": {"type": ["integer", "null"], "minimum": 0, "description": "By the pace so far."},
            "created_at": _TIME,
            "ended_at": {**_TIME, "type": ["string", "null"]},
        },
    ),
    "BackfillChange": _object("state", {"state": {"enum": ["running", "paused", "cancelled"]}}),
    "SegmentPage": _object(
        "segments next_cursor",
        {"segments": _array(ref("Segment")), "next_cursor": _CURSOR},
    ),
    "Size": _object(
        "size as_of history",
        {
            "size": _COUNT,
            "as_of": _TIME,
            "history": _array(_object("at size", {"at": _TIME, "size": _COUNT})),
        },
    ),
    "Lookup": _object(
        "profile_ids",
        {
            "profile_ids": {**_array(_ID), "maxItems": 1_000},
            "segments": {
                "type": ["array", "null"],
                "items": _TEXT,
                "maxItems": 5_000,
                "description": "Only these; all where it is left out.",
            },
        },
    ),
    "LookedUp": _object(
        "memberships as_of",
        {"memberships": {"type": "object", "additionalProperties": _array(_KEY)}, "as_of": _TIME},
    ),
    "MemberPage": _object(
        "members next_cursor as_of",
        {
            "members": _array(_object("profile_id since", {"profile_id": _ID, "since": _TIME})),
            "next_cursor": _CURSOR,
            "as_of": _TIME,
        },
    ),
    "Overlap": _object(
        "sizes intersections union as_of",
        {
            "sizes": {"type": "object", "additionalProperties": _COUNT},
            "intersections": _array(_object("segments size", {"segments": _array(_KEY), "size": _COUNT})),
            "union": _COUNT,
            "as_of": _TIME,
        },
    ),
    "Change": _object(
        "seq profile_id change at version",
        {
            "seq": {"type": "integer", "minimum": 1},
            "profile_id": _ID,
            "change": {"enum": ["entered", "exited"]},
            "at": _TIME,
            "version": {**_COUNT, "description": "The segment's."},
        },
    ),
    "ChangePage": _object(
        "changes next",
        {"changes": _array(ref("Change")), "next": {**_COUNT, "description": "For `after`."}},
    ),
    "PreviewDraft": _object(
        "rule",
        {
            "rule": _RULE,
            "time_limit_ms": {
                "type": "integer",
                "minimum": 1,
                "maximum": 60_000,
                "default": 2_000,
                "description": "Past it the size is an estimate.",
            },
        },
    ),
    "Preview": _object(
        "size sample evaluated exact interval as_of took_ms",
        {
            "size": {**_COUNT, "description": "How many profiles the rule would have, or an estimate of it."},
            "sample": {**_array(_ID), "maxItems": 20, "description": "Some of them."},
            "evaluated": {**_COUNT, "description": "How many profiles were decided one by one."},
            "exact": {"type": "boolean"},
            "interval": {
                "description": "Where the size is an estimate: within this, with the probability `confidence`.",
                "anyOf": [
                    _object("low high confidence", {"low": _COUNT, "high": _COUNT, "confidence": {"type": "number"}}),
                    {"type": "null"},
                ],
            },
            "as_of": {
                "type": ["string", "null"],
                "format": "date-time",
                "description": "Every event accepted until then counts; null while none has been archived.",
            },
            "took_ms": _COUNT,
        },
    ),
    "Analysis": _object(
        "rows as_of",
        {
            "rows": _array({"type": "object"}),
            "as_of": {
                "type": ["string", "null"],
                "format": "date-time",
                "description": "Every event accepted until then is in the lake; null while none has been archived.",
            },
        },
    ),
    "Version": _object(
        "version rule description created_at changes",
        {
            "version": {"type": "integer", "minimum": 1},
            "rule": _RULE,
            "description": {"type": "string", "description": "The rule as a sentence."},
            "created_at": _TIME,
            "changes": {**_array(_TEXT), "description": "From the version before, in words."},
        },
    ),
    "VersionPage": _object("versions next_cursor", {"versions": _array(ref("Version")), "next_cursor": _CURSOR}),
    "ListDraft": _object("", {"name": {"type": "string", "maxLength": 200, "description": "Defaults to the key."}}),
    "List": _object("key name size created_at updated_at", _LIST),
    "ListPage": _object("lists next_cursor", {"lists": _array(ref("List")), "next_cursor": _CURSOR}),
    "ListMembers": _object(
        "profile_ids", {"profile_ids": {**_array({"type": "string", "minLength": 1}), "maxItems": 100_000}}
    ),
    "ListAdded": _object(
        "key name size created_at updated_at added",
        {**_LIST, "added": {**_COUNT, "description": "How many were not on it before."}},
    ),
    "ComputedTraitDraft": _object("event", _COMPUTED_TRAIT),
    "ComputedTrait": _object(
        "key event created_at updated_at", {**_COMPUTED_TRAIT, "created_at": _TIME, "updated_at": _TIME}
    ),
    "ComputedTraitPage": _object(
        "computed_traits next_cursor", {"computed_traits": _array(ref("ComputedTrait")), "next_cursor": _CURSOR}
    ),
    "SourceDraft": _object(
        "source",
        {
            "source": _KEY,
            "name": {"type": "string", "maxLength": 200, "description": "Defaults to the id."},
            "kind": {**_SOURCE_KIND, "default": "server"},
            "events_per_s": {
                "type": ["integer", "null"],
                "minimum": 1,
                "maximum": 2**31 - 1,
                "description": "How much it may send; null: as much as any.",
            },
        },
    ),
    "Source": _SOURCE,
    "SourcePage": _object("sources next_cursor", {"sources": _array(ref("Source")), "next_cursor": _CURSOR}),
    "TrackingPlanDraft": _object("", _PLAN),
    "TrackingPlan": _object(
        "source mode unplanned events types revision updated_at",
        {"source": _TEXT, **_PLAN, "revision": _COUNT, "updated_at": _TIME},
    ),
    "PlanViolations": _object("source violations", {"source": _TEXT, "violations": _array(_PLAN_COUNT)}),
    "BadEvent": _BAD_EVENT,
    "BadEventPage": _object("bad_events next_cursor", {"bad_events": _array(ref("BadEvent")), "next_cursor": _CURSOR}),
    "BadEventReplay": _object(
        "",
        {
            "places": {**_array(_TEXT), "maxItems": 1_000},
            "source": _TEXT,
            "reason": _TEXT,
            "since": _TIME,
            "until": _TIME,
            "patch": {"type": "object", "description": "A JSON merge patch for each."},
            "again": {"type": "boolean", "default": False, "description": "Also those that were sent before."},
            "dry_run": {"type": "boolean", "default": False, "description": "Send nothing; answer with `events`."},
        },
    ),
    "BadEventReplayed": _object(
        "sent accepted bad_again not_sent more",
        {
            "sent": _COUNT,
            "accepted": _COUNT,
            "bad_again": {"type": "object", "additionalProperties": _COUNT, "description": "How many, by code."},
            "not_sent": {"type": "object", "additionalProperties": _COUNT, "description": "How many, by reason."},
            "more": {"type": "boolean"},
            "events": _array({"type": "object"}),
        },
    ),
    "SpaceError": _object("error", {"error": _object("code message", {"code": _TEXT, "message": _TEXT})}),
    "SpaceTraits": _object("traits cursor", {"traits": {"type": "object"}, "cursor": _SPACE_CURSOR}),
    "SpaceExternalIds": _object("data cursor", {"data": _array({"type": "object"}), "cursor": _SPACE_CURSOR}),
    "SpaceEvents": _object("data cursor", {"data": _array({"type": "object"}), "cursor": _SPACE_CURSOR}),
    "SpaceLinks": _object("data cursor", {"data": _array({"type": "object"}), "cursor": _SPACE_CURSOR}),
    "SpaceMetadata": _object(
        "metadata",
        {
            "metadata": _object(
                "created_at updated_at expires_at first_message_id last_message_id first_source_id last_source_id",
                {
                    "created_at": _TIME,
                    "updated_at": _TIME,
                    "expires_at": {"type": ["string", "null"]},
                    "first_message_id": {"type": ["string", "null"]},
                    "last_message_id": {"type": ["string", "null"]},
                    "first_source_id": {"type": ["string", "null"]},
                    "last_source_id": {"type": ["string", "null"]},
                },
            )
        },
    ),
    "Profile": _object(
        "profile_id traits computed segments version updated_at",
        {
            "profile_id": _TEXT,
            "traits": {"type": "object"},
            "computed": {"type": "object"},
            "segments": _array(_KEY),
            "version": _COUNT,
            "updated_at": _TIME,
        },
    ),
    "Memberships": _object(
        "profile_id segments as_of",
        {
            "profile_id": _TEXT,
            "segments": _array(_object("key since", {"key": _KEY, "since": _TIME})),
            "as_of": _TIME,
        },
    ),
    "Explanation": _object(
        "profile_id segment version member as_of tree",
        {
            "profile_id": _TEXT,
            "segment": _KEY,
            "version": {"type": "integer"},
            "member": {"type": "boolean"},
            "as_of": _TIME,
            "tree": ref("ExplainedNode"),
            "events_from": {
                **_TIME,
                "description": "There where the rule asks for events that are kept no longer: those shown begin here.",
            },
        },
    ),
    "ExplainedNode": _object(
        "path truth",
        {
            "path": {"type": "string", "description": "A JSON pointer into the rule."},
            "truth": {"type": "boolean"},
            "value": {"description": "What the node measured, where it measures."},
            "events": _array(
                _object(
                    "message_id timestamp type event",
                    {"message_id": _TEXT, "timestamp": _TIME, "type": _TEXT, "event": _TEXT},
                )
            ),
            "next_change_at": {**_TIME, "description": "When time alone will change the truth."},
            "children": _array(ref("ExplainedNode")),
        },
    ),
}

ALWAYS: Final = (401, 403, 429, 503)
_ERRORS: Final = {
    400: "The body is not JSON.",
    401: "The API token is missing, unknown or expired.",
    403: "The API token lacks the scope that this needs.",
    404: "There is no such segment, profile, list or computed trait.",
    409: "The key is taken (`segment_exists`), segments need this one (`in_use`), or the request is under way.",
    410: "Changes behind this one are no longer kept (`changes_forgotten`).",
    412: "The segment was changed since (`version_conflict`).",
    413: "The body is too large.",
    422: "Refused: each fault with its code, its place and words.",
    429: "The token makes too many requests. `Retry-After` says when to try again.",
    503: "A part that is needed does not answer just now. `Retry-After` says when to try again.",
}


def answers(
    schema: str | None, *errors: int, status: int = 200, etag: bool = False, error: str = "Error"
) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` of a route: its answer, and the errors that it may give besides `ALWAYS`."""
    success: dict[str, Any] = {"description": "Done."}
    if schema is not None:
        success["content"] = {"application/json": {"schema": ref(schema)}}
    if etag:
        success["headers"] = {"ETag": {"schema": _TEXT, "description": "Changes with every write; for `If-Match`."}}
    return {
        status: success,
        **{
            code: {"description": _ERRORS[code], "content": {"application/json": {"schema": ref(error)}}}
            for code in sorted({*ALWAYS, *errors})
        },
    }


def file_answers(media_types: Collection[str], *errors: int) -> dict[int | str, dict[str, Any]]:
    """`answers` of a route that sends something else than JSON."""
    found = answers(None, *errors)
    found[200]["content"] = {each.partition(";")[0]: {"schema": {"type": "string"}} for each in sorted(media_types)}
    return found


def list_members_body() -> dict[str, Any]:
    """The body of what is put on a list: JSON or CSV."""
    content = {"application/json": {"schema": ref("ListMembers")}, "text/csv": {"schema": {"type": "string"}}}
    return {"requestBody": {"required": True, "content": content}}


def body(schema: str) -> dict[str, Any]:
    """FastAPI's `openapi_extra` of a route that reads its body itself."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": ref(schema)}}}}


def install(app: FastAPI) -> None:
    """Add the schemas and the credentials to what FastAPI generates."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            components = document.setdefault("components", {})
            components["schemas"] = SCHEMAS
            components["securitySchemes"] = {
                "token": {"type": "http", "scheme": "bearer", "description": "An API token."},
                "basic": {"type": "http", "scheme": "basic", "description": "The token as the user, no password."},
            }
            document["security"] = [{"token": []}, {"basic": []}]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend it
