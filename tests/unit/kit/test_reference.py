"""The page of the routes: all of them, nothing from elsewhere, nothing of the document as markup."""

import re
from collections.abc import Mapping
from contextlib import AsyncExitStack

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services._kit.app import create_app
from services._kit.health import Check
from services._kit.reference import page


async def nothing(_: FastAPI, __: AsyncExitStack) -> Mapping[str, Check]:
    return {}


async def test_the_page() -> None:
    app = create_app("A <b>service</b>", "1", nothing, CollectorRegistry())

    @app.get("/v1/things/{key}", summary="Read a thing", tags=["things"])
    async def read(key: str, colour: str = "") -> dict[str, str]:
        """Its name & colour."""
        return {}

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/docs")
    text = answer.text
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "GET /v1/things/{key}" in text
    for said in ("Read a thing", "Its name &amp; colour.", "colour (query)", "HTTPValidationError", "&lt;b&gt;"):
        assert said in text
    assert "<script" not in text
    assert "<b>" not in text
    assert not re.search(r"(src|href)=[\"'](?!#)", text)
    assert "script-src" not in answer.headers["Content-Security-Policy"]


def test_links_lead_to_the_shapes_of_the_document() -> None:
    schema = {"$ref": "#/components/schemas/Thing"}
    operation = {"responses": {"200": {"description": "It.", "content": {"application/json": {"schema": schema}}}}}
    document = {
        "info": {"title": "x"},
        "paths": {"/a": {"get": operation}},
        "components": {"schemas": {"Thing": {"type": "object"}}},
    }
    text = page(document)
    assert '<a href="#Thing">' in text
    assert '<details id="Thing">' in text
