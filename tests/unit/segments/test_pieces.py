"""Cursors, scopes, differences in words, cells of CSV, rates: what needs no store."""

from typing import Any

import httpx
import pytest

from audience.ports.catalog import SCOPES, TokenAccess
from services._kit.errors import ApiError
from services.segments.cursors import behind, cursor_of, key_behind
from services.segments.exporting import safe_cell
from services.segments.scopes import require, scope_of
from services.segments.wording import differences
from tests.unit.segments.service import TOKEN, Outside, running
from tests.unit.segments.test_segments_api import error


@pytest.mark.parametrize("last", ["", "a", "a\0b", "ü", "日本", "x" * 1_000])
def test_cursors(last: str) -> None:
    assert behind(cursor_of(last)) == last
    for wrong in (f"{cursor_of(last)}!", f"{cursor_of(last)}=", "é"):
        with pytest.raises(ApiError):
            behind(wrong)


def test_keys_hold_no_nul() -> None:
    with pytest.raises(ApiError):
        key_behind(cursor_of("a\0"))


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/profiles/a/segments", "memberships:read"),
        ("POST", "/v1/memberships/lookup", "memberships:read"),
        ("GET", "/v1/profiles/a", "profiles:read"),
        ("GET", "/v1/profiles/a/explain/b", "profiles:read"),
        ("DELETE", "/v1/profiles/a", "profiles:write"),
        ("GET", "/v1/spaces/w/collections/users/profiles/user_id:a/traits", "profiles:read"),
        ("GET", "/v1/segments", "segments:read"),
        ("GET", "/v1/segments/a", "segments:read"),
        ("GET", "/v1/segments/members", "segments:read"),
        ("GET", "/v1/segments/a/size", "segments:read"),
        ("GET", "/v1/segments/a/versions/1", "segments:read"),
        ("GET", "/v1/segments/a/members", "memberships:read"),
        ("GET", "/v1/segments/a/changes/stream", "memberships:read"),
        ("GET", "/v1/segments/a/export", "memberships:read"),
        ("GET", "/v1/segments/a/overlap", "memberships:read"),
        ("POST", "/v1/segments", "segments:write"),
        ("PUT", "/v1/segments/a", "segments:write"),
        ("DELETE", "/v1/segments/a", "segments:write"),
        ("POST", "/v1/segments/preview", "segments:read"),
        ("GET", "/v1/lists/a", "segments:read"),
        ("POST", "/v1/lists/a/members", "lists:write"),
        ("PUT", "/v1/computed-traits/a", "segments:write"),
        ("GET", "/v1/whatever", "*"),
        ("GET", "/", "*"),
        ("GET", "", "*"),
    ],
)
def test_scopes(method: str, path: str, scope: str) -> None:
    assert scope_of(method, path) == scope
    assert scope in SCOPES
    require(TokenAccess("w", frozenset((scope,))), scope)
    require(TokenAccess("w", frozenset("*")), scope)
    with pytest.raises(ApiError) as refused:
        require(TokenAccess("w", frozenset(SCOPES) - {scope, "*"}), scope)
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"event": "a"}, {"event": "a"}, []),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
        ({"event": "a"}, {"event": "b"}, ['the rule, \'event\': "b" in place of "a"']),
        ({"event": "a"}, {"event": "a", "within": "1d"}, ["the rule: 'within' was added, \"1d\""]),
        ({"event": "a", "within": "1d"}, {"event": "a"}, ["the rule: 'within' was taken out, it was \"1d\""]),
        ({"event": "a"}, {"segment": "b"}, ['the rule: {"segment":"b"} in place of {"event":"a"}']),
        ({"all": [1, 2]}, {"all": [0, 1, 2]}, ["the rule, 'all': 0 was added"]),
        ({"all": [1, 2, 3]}, {"all": [1, 3]}, ["the rule, 'all': 2 was taken out"]),
        (
            {"all": [{"event": "a"}, {"event": "b"}]},
            {"all": [{"event": "a"}, {"event": "c"}, {"event": "d"}]},
            [
                "the rule, 'all', number 2, 'event': \"c\" in place of \"b\"",
                'the rule, \'all\': {"event":"d"} was added',
            ],
        ),
        ({"a": True}, {"a": 1}, ["the rule, 'a': 1 in place of true"]),
    ],
)
def test_differences(before: Any, after: Any, told: list[str]) -> None:
    assert differences(before, after) == told


def test_a_long_difference_is_cut() -> None:
    [told] = differences({"event": "a"}, {"event": "x" * 1_000})
    assert len(told) < 300


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "\rx", " =1", "=", "＝1", "＠x"])  # noqa: RUF001
def test_formulas(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", " ", "a", "a=b", "1", "'=1", "user-1", "é"])
def test_what_is_no_formula(text: str) -> None:
    assert safe_cell(text) == text


async def test_a_token_beyond_its_rate(outside: Outside) -> None:
    async with running(outside, requests_per_second=5) as api:
        answers = [await api.get("/v1/profiles/a/segments") for _ in range(30)]
        refused = [each for each in answers if each.status_code == 429]
        assert refused
        error(refused[0], 429, "rate_limited")
        assert (refused[0].headers["Retry-After"], refused[0].headers["RateLimit-Remaining"]) == ("1", "0")
        space = "/v1/spaces/w/collections/users/profiles/user_id:a/traits"
        turned = [await api.get(space) for _ in range(30)]
        assert {each.json()["error"]["code"] for each in turned if each.status_code == 429} == {"rate_limit_error"}


async def test_a_scoped_token(outside: Outside, api: httpx.AsyncClient) -> None:
    outside.tokens.scopes = frozenset(("segments:read",))
    async with running(outside) as scoped:
        assert (await scoped.get("/v1/segments")).status_code == 200
        error(await scoped.post("/v1/segments", content=b"{"), 403, "forbidden")
        error(await scoped.get("/v1/profiles/a/segments"), 403, "forbidden")
    assert TOKEN not in (await api.get("/metrics")).text
