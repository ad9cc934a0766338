"""What /openapi.json says of segment-api beyond what FastAPI sees: bodies, answers, errors, credentials.

The handlers read and write JSON themselves (msgspec, and errors of one shape), so the schemas stand here.
"""

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
        "key name description rule tags status version size created_at updated_at backfill",
        {
            **_DRAFT,
            "version": {"type": "integer", "minimum": 1, "description": "Counts the changes of the rule."},
            "size": {**_COUNT, "description": "How many profiles are members now."},
            "created_at": _TIME,
            "updated_at": _TIME,
            "backfill": {"type": "null"},
        },
    ),
    "SegmentPage": _object(
        "segments next_cursor",
        {"segments": _array(ref("Segment")), "next_cursor": {"type": ["string", "null"]}},
    ),
    "Size": _object("size as_of", {"size": _COUNT, "as_of": _TIME}),
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

_ERRORS: Final = {
    400: "The body is not JSON.",
    401: "The API token is missing or unknown.",
    404: "There is no such segment or profile.",
    409: "The key is taken (`segment_exists`), or other segments refer to this one (`in_use`).",
    412: "The segment was changed since (`version_conflict`).",
    413: "The body is too large.",
    422: "Refused: each fault with its code, its place and words.",
    503: "A part that is needed does not answer just now. `Retry-After` says when to try again.",
}


def answers(schema: str | None, *errors: int, status: int = 200, etag: bool = False) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` of a route: its answer, and the errors that it may give besides 401 and 503."""
    success: dict[str, Any] = {"description": "Done."}
    if schema is not None:
        success["content"] = {"application/json": {"schema": ref(schema)}}
    if etag:
        success["headers"] = {"ETag": {"schema": _TEXT, "description": "Changes with every write; for `If-Match`."}}
    return {
        status: success,
        **{
            code: {"description": _ERRORS[code], "content": {"application/json": {"schema": ref("Error")}}}
            for code in sorted({401, 503, *errors})
        },
    }


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
