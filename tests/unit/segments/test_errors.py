"""Errors of every kind have one shape, a code of ours, and say what to do."""

import json
from typing import Any

import httpx
import pytest

from services.segments.drafts import MAX_BODY_BYTES

RULE = {"event": "x"}
SPACE = "/v1/spaces/w/collections/users/profiles"
CODES = frozenset(("wrong_type", "bad_value", "missing_key", "unknown_key", "limit_exceeded", "empty"))


@pytest.mark.parametrize(
    ("method", "path", "asked", "status", "code", "fault"),
    [
        ("POST", "/v1/segments", {"content": b"{"}, 400, "invalid_json", None),
        ("POST", "/v1/segments", {"content": b""}, 400, "invalid_json", None),
        ("POST", "/v1/segments", {"data": {"key": "a"}}, 400, "invalid_json", None),
        ("POST", "/v1/segments", {"files": {"file": b"{}"}}, 400, "invalid_json", None),
        ("POST", "/v1/segments", {"content": b" " * (MAX_BODY_BYTES + 1)}, 413, "too_large", None),
        ("POST", "/v1/segments", {"json": []}, 422, "invalid_request", ("wrong_type", "")),
        ("POST", "/v1/segments", {"json": {"key": "a", "rule": RULE, "x/y": 1}}, 422, "invalid_request",
         ("unknown_key", "/x~1y")),
        ("POST", "/v1/segments", {"json": {"key": "a", "rule": {"trait": "x", "op": "like"}}}, 422, "rule_invalid",
         ("unknown_operator", "/op")),
        ("GET", "/v1/segments?limit=x", {}, 422, "invalid_request", ("wrong_type", "/limit")),
        ("GET", "/v1/segments?limit=0", {}, 422, "invalid_request", ("bad_value", "/limit")),
        ("GET", "/v1/segments?cursor=%25", {}, 422, "invalid_request", ("bad_value", "/cursor")),
        ("GET", "/v1/segments/a/overlap", {}, 422, "invalid_request", ("missing_key", "/with")),
        ("GET", "/v1/segments/a/export?format=xml", {}, 422, "invalid_request", ("bad_value", "/format")),
        ("POST", "/v1/segments", {"json": {}, "headers": {"Idempotency-Key": "x" * 201}}, 422, "invalid_request",
         ("bad_value", "/idempotency-key")),
        ("POST", "/v1/memberships/lookup", {"json": {"profile_ids": ["a", 1]}}, 422, "invalid_request",
         ("wrong_type", "/profile_ids/1")),
        ("POST", "/v1/memberships/lookup", {"json": {"profile_ids": [], "x": 1}}, 422, "invalid_request",
         ("unknown_key", "")),
        ("POST", "/v1/memberships/lookup", {"json": {}}, 422, "invalid_request", ("missing_key", "")),
        ("POST", "/v1/memberships/lookup", {"json": {"profile_ids": [], "segments": ["s"] * 5_001}}, 422,
         "invalid_request", ("limit_exceeded", "/segments")),
        ("PUT", "/v1/segments/none", {"json": {"rule": RULE}, "headers": {"If-Match": "junk"}}, 404,
         "segment_not_found", None),
        ("PATCH", "/v1/segments/a", {"json": {}}, 405, "method_not_allowed", None),
        ("GET", "/v1/memberships/lookup", {}, 405, "method_not_allowed", None),
        ("GET", "/v1/nothing", {}, 404, "not_found", None),
        ("GET", "/v1/segments/", {}, 404, "not_found", None),
        ("GET", "/v1/profiles/%ff/segments", {}, 422, "invalid_request", None),
        ("GET", "/v1/segments", {"headers": {"Authorization": "Bearer wrong"}}, 401, "unauthorized", None),
        ("GET", "/v1/segments", {"headers": {"Authorization": "Digest x"}}, 401, "unauthorized", None),
        ("GET", "/v1/nothing", {"headers": {"Authorization": ""}}, 401, "unauthorized", None),
    ],
)  # fmt: skip
async def test_errors(
    api: httpx.AsyncClient,
    method: str,
    path: str,
    asked: dict[str, Any],
    status: int,
    code: str,
    fault: tuple[str, str] | None,
) -> None:
    answer = await api.request(method, path, **asked)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (status, code), told
    assert set(told) <= {"code", "message", "errors", "request_id"}
    assert len(told["message"]) > 10
    assert told["request_id"] == answer.headers["Request-Id"]
    faults = [(each["code"], each["path"]) for each in told.get("errors", [])]
    assert fault in (None, *faults), json.dumps(told)
    assert code == "rule_invalid" or {each for each, _ in faults} <= CODES


@pytest.mark.parametrize(
    ("method", "path", "token", "status", "code"),
    [
        ("GET", f"{SPACE}/user_id:none/traits", "", 404, "not_found"),
        ("GET", f"{SPACE}/none/traits", "", 422, "validation_error"),
        ("GET", f"{SPACE}/user_id:none/traits?limit=0", "", 422, "validation_error"),
        ("GET", f"{SPACE}/user_id:none/shoes", "", 404, "not_found"),
        ("POST", f"{SPACE}/user_id:none/traits", "", 405, "invalid_request_error"),
        ("GET", f"{SPACE}/user_id:none/traits", "wrong", 401, "authentication_error"),
    ],
)
async def test_errors_of_the_profile_api(
    api: httpx.AsyncClient, method: str, path: str, token: str, status: int, code: str
) -> None:
    answer = await api.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "message"}
    assert answer.headers["Request-Id"]
