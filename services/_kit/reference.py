"""`/docs`: what /openapi.json says, as a page for people. Without scripts, and nothing from elsewhere: it is read where
there is no way out, and a service that holds customers' data runs nobody else's code.
"""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from fastapi import FastAPI
from starlette.responses import HTMLResponse

_METHODS: Final = ("get", "put", "post", "delete")
_HEADERS: Final = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_STYLE: Final = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
code, pre { font: 0.875em/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { overflow-x: auto; overflow-wrap: normal; padding: 0.75rem; border: 1px solid var(--line); border-radius: 4px; }
details { border-top: 1px solid var(--line); padding: 0.5rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
td { border-top: 1px solid var(--line); padding: 0.25rem 0.75rem 0.25rem 0; vertical-align: top; }
"""


def install(app: FastAPI) -> None:
    """Add the route."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()), headers=_HEADERS)


def page(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document."""
    title = escape(document["info"]["title"])
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><h1>{title}</h1>',
        "<p>For programs: <code>/openapi.json</code>.</p>",
        *_operations(document),
    ]
    schemas = document.get("components", {}).get("schemas", {})
    if schemas:
        parts.append("<h2>Shapes</h2>")
        for name, schema in sorted(schemas.items()):
            parts.append(f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>{_json(schema)}')
            parts.append("</details>")
    return "".join([*parts, "</body></html>"])


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    group = None
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if (operation := operations.get(method)) is None:
                continue
            tag = operation.get("tags", [""])[0]
            if tag != group:
                group = tag
                yield f"<h2>{escape(tag.capitalize() or 'Routes')}</h2>"
            yield from _operation(method, path, operation)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<details><summary><code>{method.upper()} {escape(path)}</code> {escape(operation.get('summary', ''))}"
    yield f"</summary><p>{escape(operation.get('description', ''))}</p><table>"
    for each in operation.get("parameters", ()):
        words = each.get("description", "") + ("" if each.get("required") else " Optional.")
        yield _row(f"{each['name']} ({each['in']})", escape(words))
    if (body := operation.get("requestBody")) is not None:
        yield _row("body", _contents(body))
    for status, answer in operation.get("responses", {}).items():
        yield _row(status, f"{escape(answer.get('description', ''))} {_contents(answer)}")
    yield "</table></details>"


def _row(name: str, html: str) -> str:
    return f"<tr><td><code>{escape(name)}</code></td><td>{html}</td></tr>"


def _contents(of: Mapping[str, Any]) -> str:
    found = []
    for media_type, content in of.get("content", {}).items():
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        shape = f'<a href="#{escape(name)}">{escape(name)}</a>' if name else ""
        found.append(f"<code>{escape(media_type)}</code> {shape}")
    return ", ".join(found)


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
