"""The routes for events in /openapi.json. They are plain ASGI (`routes`), so FastAPI cannot describe them itself.

The schemas of bodies are wide on purpose: an event of any form is answered with 200, and what is wrong with it is told
in `events.bad`. What makes an event valid stands in docs/ingest.md.
"""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.ingest.routes import METRICS_ROUTE, ROUTES, Route

_SUCCESS: Final = {
    "type": "object",
    "required": ["success"],
    "properties": {"success": {"const": True}},
    "additionalProperties": False,
}
_ERROR: Final = {
    "type": "object",
    "required": ["code", "message", "request_id"],
    "properties": {
        "code": {"type": "string", "description": "Stable; for programs."},
        "message": {"type": "string", "description": "For people."},
        "request_id": {"type": "string"},
    },
}
_EVENT: Final = {
    "type": "object",
    "description": "An event as an SDK sends it. One that is not valid goes to `events.bad`.",
    "additionalProperties": True,
    "examples": [
        {
            "type": "track",
            "userId": "u1",
            "event": "Order Completed",
            "properties": {"total": 49.9},
            "timestamp": "2026-01-31T12:00:00.000Z",
        }
    ],
}
_BATCH: Final = {
    "type": "object",
    "required": ["batch"],
    "properties": {
        "batch": {"type": "array", "items": {}, "description": "At most 2,500 events, each with its `type`."},
        "writeKey": {"description": "Counts where no Basic credentials are given."},
        "context": {"description": "Merged into each event's by top-level key; the event's own wins."},
        "integrations": {"description": "Merged like `context`."},
        "sentAt": {"description": "When the batch was sent, by the client's clock; an event's own wins."},
    },
}
_ANSWERS: Final = {
    "200": "Every valid event is in the log, replicated; the others are in `events.bad`.",
    "400": "The body is not JSON of the right shape, or not gzip where it says so.",
    "401": "The write key is missing or unknown.",
    "413": "More than 4 MiB unpacked, or more than 2,500 events.",
    "429": "The source has sent more than it may. Send them again, later.",
    "503": "Too much is under way, or the log and its spool did not take the events. Send them again, with the same "
    "`messageId`s.",
}
_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Whole seconds.", "schema": {"type": "integer", "minimum": 0, "maximum": 300}}
}


def install(app: FastAPI) -> None:
    """Let `app` describe the routes for events beside its own."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
            _add(schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way to extend its schema


NO_SOURCE: Final[dict[int | str, dict[str, Any]]] = {
    404: {"description": "No source has this write key.", "content": {"application/json": {"schema": _ERROR}}},
    503: {
        "description": "The write keys could not be read yet.",
        "content": {"application/json": {"schema": _ERROR}},
        "headers": _RETRY_AFTER,
    },
}
"""The refusals of the settings route, for FastAPI."""


def _add(schema: dict[str, Any]) -> None:
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {}).update(
        {"Event": _EVENT, "Batch": _BATCH, "Success": _SUCCESS, "Error": _ERROR}
    )
    components["securitySchemes"] = {
        "writeKey": {"type": "http", "scheme": "basic", "description": "The write key as user name, no password."}
    }
    for route in ROUTES:
        body = "Batch" if route.type is None else "Event"
        for path in filter(None, (route.name, route.short)):
            schema["paths"][f"/v1/{path}"] = {"post": _operation(route, path, body, _ANSWERS)}
    schema["paths"][f"/v1/{METRICS_ROUTE.short}"] = {
        "post": _operation(METRICS_ROUTE, METRICS_ROUTE.short, "", {"200": "Taken, and dropped unread."})
    }


def _operation(route: Route, path: str, body: str, answers: dict[str, str]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"post_{path}",
        "summary": f"Short for /v1/{route.name}" if body and path == route.short else _summary(route),
        "tags": ["browser" if path == route.short else "events"],
        "security": [{"writeKey": []}, {}],
        "responses": {
            status: {
                "description": words,
                "content": {"application/json": {"schema": _ref("Success" if status == "200" else "Error")}},
                **({"headers": _RETRY_AFTER} if status in {"429", "503"} else {}),
            }
            for status, words in answers.items()
        },
    }
    if body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    return operation


def _summary(route: Route) -> str:
    if route is METRICS_ROUTE:
        return "Reports of the SDK for browsers about itself"
    return "Many events" if route.type is None else f"One {route.type} event"


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
