"""/v1/segments as the contract has it."""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest

from audience.wire.topics import decode_segment
from tests.integration.contracts.profile_store import profile
from tests.unit.segments.service import OTHER_TOKEN, Outside, running

RULE = {"event": "Order Completed", "is": {"gte": 2}}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def body(key: str = "vip", **changes: Any) -> dict[str, Any]:
    return {"key": key, "name": "VIP", "rule": RULE, "status": "live", **changes}


async def create(api: httpx.AsyncClient, key: str = "vip", **changes: Any) -> httpx.Response:
    answer = await api.post("/v1/segments", json=body(key, **changes))
    assert answer.status_code == 201, answer.text
    return answer


def error(answer: httpx.Response, status: int, code: str) -> list[tuple[str, str]]:
    """The code and the path of each fault of an answer that is an error of the contract's shape."""
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert set(told) <= {"code", "message", "errors", "request_id"}
    assert told["code"] == code
    assert told["message"]
    assert told["request_id"] == answer.headers["Request-Id"]
    assert all(each["message"] for each in told.get("errors", []))
    return [(each["code"], each["path"]) for each in told.get("errors", [])]


async def test_create(api: httpx.AsyncClient) -> None:
    answer = await create(api, description="buys often", tags=["retention"])
    made = answer.json()
    assert TIME.fullmatch(made.pop("created_at"))
    assert TIME.fullmatch(made.pop("updated_at"))
    assert made == {
        "key": "vip", "name": "VIP", "description": "buys often", "rule": RULE, "tags": ["retention"],
        "status": "live", "version": 1, "size": 0, "evaluated_at": None, "backfill": None,
    }  # fmt: skip
    assert answer.headers["Location"] == "/v1/segments/vip"
    assert answer.headers["ETag"]


async def test_what_is_left_out_gets_its_default(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/segments", json={"key": "vip", "rule": RULE})
    made = answer.json()
    assert (made["name"], made["description"], made["tags"], made["status"]) == ("vip", "", [], "draft")


async def test_an_existing_key(api: httpx.AsyncClient) -> None:
    await create(api)
    assert error(await api.post("/v1/segments", json=body()), 409, "segment_exists") == []


async def test_a_refused_rule_tells_all_of_its_faults(api: httpx.AsyncClient) -> None:
    rule = {"all": [{"trait": "plan", "op": "equals", "value": 1}, {"event": 5}, {"segment": "none"}, {"list": "l"}]}
    faults = error(await api.post("/v1/segments", json=body(rule=rule)), 422, "rule_invalid")
    assert faults == [
        ("unknown_operator", "/all/0/op"),
        ("wrong_type", "/all/1/event"),
        ("unknown_segment", "/all/2/segment"),
        ("unknown_list", "/all/3/list"),
    ]
    assert (await api.get("/v1/segments")).json()["segments"] == []


@pytest.mark.parametrize(
    ("sent", "faults"),
    [
        ([], [("wrong_type", "")]),
        ("text", [("wrong_type", "")]),
        ({}, [("missing_key", ""), ("missing_key", "")]),
        (body(extra=1), [("unknown_key", "/extra")]),
        (body(**{"a/b~c": 1}), [("unknown_key", "/a~1b~0c")]),
        (body(version=2), [("unknown_key", "/version")]),
        (body(key=""), [("bad_value", "/key")]),
        (body(key="Big"), [("bad_value", "/key")]),
        (body(key="-a"), [("bad_value", "/key")]),
        (body(key="a" * 64), [("bad_value", "/key")]),
        (body(key="a\n"), [("bad_value", "/key")]),
        (body(key=5), [("wrong_type", "/key")]),
        (body(name=None), [("wrong_type", "/name")]),
        (body(name="x" * 201), [("limit_exceeded", "/name")]),
        (body(name="a\u0000"), [("bad_value", "/name")]),
        (body(description=[]), [("wrong_type", "/description")]),
        (body(rule=[]), [("wrong_type", "/rule")]),
        (body(status="on"), [("bad_value", "/status")]),
        (body(status=None), [("wrong_type", "/status")]),
        (body(tags="a"), [("wrong_type", "/tags")]),
        (body(tags=["a", 1]), [("wrong_type", "/tags/1")]),
        (body(tags=["a", ""]), [("empty", "/tags/1")]),
        (body(tags=["a", "a"]), [("bad_value", "/tags/1")]),
        (body(tags=[str(number) for number in range(51)]), [("limit_exceeded", "/tags")]),
        (body(key=1, status=1, tags=1), [("wrong_type", "/key"), ("wrong_type", "/tags"), ("wrong_type", "/status")]),
    ],
)
async def test_a_body_of_the_wrong_shape(api: httpx.AsyncClient, sent: Any, faults: list[tuple[str, str]]) -> None:
    assert error(await api.post("/v1/segments", json=sent), 422, "invalid_request") == faults


@pytest.mark.parametrize("sent", [b"", b"{", b"\xff", b'{"key": NaN}', b"[" * 100_000, b'{"a":"\\ud800"}'])
async def test_a_body_that_is_no_json(api: httpx.AsyncClient, sent: bytes) -> None:
    error(await api.post("/v1/segments", content=sent), 400, "invalid_json")


async def test_a_body_that_is_too_large(api: httpx.AsyncClient) -> None:
    error(await api.post("/v1/segments", content=b" " * (1 << 20) + b"{}"), 413, "too_large")


async def test_pages(api: httpx.AsyncClient) -> None:
    keys = ["a", "a-1", "b", "c", "d"]
    for key in reversed(keys):
        await create(api, key)
    found, cursor = [], ""
    for _ in range(3):
        page = (await api.get("/v1/segments", params={"limit": 2, "cursor": cursor})).json()
        found += [each["key"] for each in page["segments"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert found == keys
    exact = (await api.get("/v1/segments", params={"limit": 5})).json()
    assert exact["next_cursor"] is None
    assert (await api.get("/v1/segments")).json()["next_cursor"] is None


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "cursor=%21%21", "cursor=YQ==", "cursor=_w"])
async def test_a_page_that_is_asked_for_wrongly(api: httpx.AsyncClient, query: str) -> None:
    [(_, path)] = error(await api.get(f"/v1/segments?{query}"), 422, "invalid_request")
    assert path == "/" + query.partition("=")[0]


async def test_sizes_are_those_of_the_index(api: httpx.AsyncClient, outside: Outside) -> None:
    for key, status in (("vip", "live"), ("paused", "paused"), ("gone", "archived")):
        await create(api, key, status=status)
    await outside.index.put_many([profile(each, 1, "vip", "paused", "gone") for each in "abc"])
    sizes = {each["key"]: each["size"] for each in (await api.get("/v1/segments")).json()["segments"]}
    assert sizes == {"vip": 3, "paused": 3, "gone": 0}
    assert (await api.get("/v1/segments/vip")).json()["size"] == 3


async def test_replace(api: httpx.AsyncClient) -> None:
    first = await create(api, tags=["a"])
    same = await api.put("/v1/segments/vip", json={"rule": RULE, "name": "New", "status": "paused"})
    assert same.status_code == 200
    assert (same.json()["version"], same.json()["name"], same.json()["tags"]) == (1, "New", [])
    assert same.json()["created_at"] == first.json()["created_at"]
    changed = await api.put("/v1/segments/vip", json=body(rule={"event": "x"}))
    assert changed.json()["version"] == 2
    tags = {each.headers["ETag"] for each in (first, same, changed)}
    assert len(tags) == 3
    assert (await api.get("/v1/segments/vip")).headers["ETag"] == changed.headers["ETag"]


async def test_replace_with_another_key_in_its_body(api: httpx.AsyncClient) -> None:
    await create(api)
    assert error(await api.put("/v1/segments/vip", json=body("other")), 422, "invalid_request") == [
        ("bad_value", "/key")
    ]


async def test_a_stale_etag(api: httpx.AsyncClient) -> None:
    old = (await create(api)).headers["ETag"]
    new = (await api.put("/v1/segments/vip", json=body(name="B"), headers={"If-Match": old})).headers["ETag"]
    for stale in (old, '"0"', "nonsense", 'W/"1"', f"W/{new}", "", f'"{10**30}"'):
        answer = await api.put("/v1/segments/vip", json=body(name="C"), headers={"If-Match": stale})
        error(answer, 412, "version_conflict")
        error(await api.delete("/v1/segments/vip", headers={"If-Match": stale}), 412, "version_conflict")
    assert (await api.get("/v1/segments/vip")).json()["name"] == "B"
    for good in (f"{old}, {new}", "*"):
        answer = await api.put("/v1/segments/vip", json=body(name="D"), headers={"If-Match": good})
        assert answer.status_code == 200
        new = answer.headers["ETag"]
    assert (await api.delete("/v1/segments/vip", headers={"If-Match": new})).status_code == 204


async def test_what_is_not_there(api: httpx.AsyncClient) -> None:
    for path in (
        "/v1/segments/none",
        "/v1/segments/none/size",
        "/v1/segments/none/members",
        "/v1/segments/a%2Fb",
        "/v1/segments/%00",
    ):
        error(await api.get(path), 404, "segment_not_found")
    error(await api.put("/v1/segments/none", json=body("none")), 404, "segment_not_found")
    error(await api.put("/v1/segments/none", json={}), 404, "segment_not_found")
    error(await api.delete("/v1/segments/none"), 404, "segment_not_found")


async def test_delete(api: httpx.AsyncClient, outside: Outside) -> None:
    await create(api)
    await outside.index.put_many([profile("a", 1, "vip")])
    await outside.profiles.put_many([profile("a", 1, "vip")])
    gone = await api.delete("/v1/segments/vip")
    assert (gone.status_code, gone.content) == (204, b"")
    error(await api.get("/v1/segments/vip"), 404, "segment_not_found")
    error(await api.delete("/v1/segments/vip"), 404, "segment_not_found")
    assert (await api.get("/v1/profiles/a/segments")).json()["segments"] == []
    assert (await create(api)).json()["size"] == 0  # a new segment of the old name begins empty


async def test_what_others_refer_to(api: httpx.AsyncClient) -> None:
    await create(api)
    await create(api, "user", rule={"not": {"segment": "vip"}}, status="draft")
    error(await api.delete("/v1/segments/vip"), 409, "in_use")
    error(await api.put("/v1/segments/vip", json=body(status="archived")), 409, "in_use")
    cycle = await api.put("/v1/segments/vip", json=body(rule={"any": [{"segment": "vip"}]}))
    assert error(cycle, 422, "rule_invalid") == [("segment_cycle", "/any/0/segment")]
    assert (await api.delete("/v1/segments/user")).status_code == 204
    assert (await api.delete("/v1/segments/vip")).status_code == 204


async def test_a_longer_cycle(api: httpx.AsyncClient) -> None:
    await create(api, "a")
    await create(api, "b", rule={"segment": "a"})
    await create(api, "c", rule={"segment": "b"})
    answer = await api.put("/v1/segments/a", json=body("a", rule={"segment": "c"}))
    assert error(answer, 422, "rule_invalid") == [("segment_cycle", "/segment")]


async def test_workspaces_do_not_see_each_other(api: httpx.AsyncClient, outside: Outside) -> None:
    await create(api)
    other = {"Authorization": f"Bearer {OTHER_TOKEN}"}
    assert (await api.get("/v1/segments", headers=other)).json()["segments"] == []
    error(await api.get("/v1/segments/vip", headers=other), 404, "segment_not_found")
    error(await api.delete("/v1/segments/vip", headers=other), 404, "segment_not_found")
    mine = await api.post("/v1/segments", json=body(rule={"segment": "vip"}), headers=other)
    error(mine, 422, "rule_invalid")


async def told(outside: Outside, count: int) -> list[Any]:
    async with asyncio.timeout(3):
        while len(outside.log.records) < count:  # noqa: ASYNC110  it has no event to wait for
            await asyncio.sleep(0.005)
    assert {each.topic for each in outside.log.records} == {"segments"}
    return [None if each.value is None else decode_segment(each.value) for each in outside.log.records]


async def test_the_jobs_are_told_at_once(api: httpx.AsyncClient, outside: Outside) -> None:
    await create(api)
    [first] = await asyncio.wait_for(told(outside, 1), 0.1)
    assert (first.workspace, first.key, first.version, first.status, first.name) == ("w", "vip", 1, "live", "VIP")
    assert json.loads(bytes(first.rule)) == RULE
    assert outside.log.records[0].key == "w:vip"
    await api.put("/v1/segments/vip", json=body(rule={"event": "x"}))
    _, second = await asyncio.wait_for(told(outside, 2), 0.1)
    assert second.version == 2
    assert second.revision > first.revision
    await api.delete("/v1/segments/vip")
    *_, third, tombstone = await asyncio.wait_for(told(outside, 4), 0.1)
    assert third.status == "deleted"
    assert third.revision > second.revision
    assert tombstone is None


async def test_what_kafka_missed_is_told_when_it_is_back(api: httpx.AsyncClient, outside: Outside) -> None:
    outside.log.away = True
    await create(api)
    await asyncio.sleep(0.05)
    assert outside.log.records == []
    outside.log.away = False
    assert len(await told(outside, 1)) == 1


async def test_and_by_the_next_process_where_this_one_ended(outside: Outside) -> None:
    outside.log.away = True
    async with running(outside) as first:
        await create(first)
    outside.log.away = False
    async with running(outside):
        assert len(await told(outside, 1)) == 1


async def test_the_database_away(api: httpx.AsyncClient, outside: Outside) -> None:
    await create(api)
    outside.catalog.away = True
    for answer in (
        await api.get("/v1/segments/vip"),
        await api.get("/v1/segments"),
        await api.post("/v1/segments", json=body("b")),
        await api.delete("/v1/segments/vip"),
    ):
        if answer.status_code != 204:
            error(answer, 503, "unavailable")
            assert answer.headers["Retry-After"].isdigit()
