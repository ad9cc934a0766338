"""The HTTP contract, line by line, on the running platform. Explain and the way from an event: test_segment_api.py."""

import asyncio
import csv
import io
import json
import re
import secrets
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow.parquet
import pytest

from tests.integration.segments.conftest import NEVER, World, until

pytestmark = pytest.mark.platform

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def refused(answer: httpx.Response, status: int, code: str) -> list[tuple[str, str]]:
    """The faults of an error of the contract's shape."""
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert set(told) <= {"code", "message", "errors", "request_id"}
    assert (told["code"], bool(told["message"])) == (code, True)
    assert told["request_id"] == answer.headers["Request-Id"]
    return [(each["code"], each["path"]) for each in told.get("errors", [])]


# profiles and their memberships


async def test_a_profile(world: World) -> None:
    key, ada = await world.segment(), world.person("ada")
    await world.put({ada: [key]}, plan="pro")
    await until(lambda: world.size(key), 1)

    async def segments() -> object:
        return (await world.get(f"/v1/profiles/{ada}"))["segments"]

    await until(segments, [key])  # which segments are live is known anew every second
    told = await world.get(f"/v1/profiles/{ada}")
    assert set(told) == {"profile_id", "traits", "computed", "segments", "version", "updated_at"}
    assert (told["profile_id"], told["traits"], told["computed"]) == (ada, {"plan": "pro"}, {})
    assert (told["segments"], told["version"]) == ([key], world.versions[ada])
    assert TIME.fullmatch(told["updated_at"])
    refused(await world.api.get(f"/v1/profiles/nobody-{ada}"), 404, "profile_not_found")


async def test_memberships_of_a_profile(world: World) -> None:
    key, ada = await world.segment(), world.person("ada/%2F ü")
    await world.put({ada: [key]})
    await until(lambda: world.size(key), 1)
    path = f"/v1/profiles/{quote(ada, safe='')}/segments"
    told = await world.get(path)
    assert set(told) == {"profile_id", "segments", "as_of"}
    assert told["profile_id"] == ada
    [membership] = told["segments"]
    assert membership["key"] == key
    assert TIME.fullmatch(membership["since"])
    assert TIME.fullmatch(told["as_of"])
    assert (await world.get(f"/v1/profiles/nobody-{world.name}/segments"))["segments"] == []


async def test_lookup(world: World) -> None:
    one, two, ada = await world.segment(), await world.segment(), world.person("ada")
    await world.put({ada: [one, two]})
    await until(lambda: world.size(two), 1)
    asked = {"profile_ids": [ada, "nobody", ada]}
    told = (await world.api.post("/v1/memberships/lookup", json=asked)).json()
    assert set(told) == {"memberships", "as_of"}
    assert told["memberships"] == {ada: [one, two], "nobody": []}
    only = (await world.api.post("/v1/memberships/lookup", json={**asked, "segments": [two, "none"]})).json()
    assert only["memberships"] == {ada: [two], "nobody": []}
    none = (await world.api.post("/v1/memberships/lookup", json={"profile_ids": []})).json()
    assert none["memberships"] == {}
    most = {"profile_ids": [f"{number}" for number in range(1_000)]}
    assert len((await world.api.post("/v1/memberships/lookup", json=most)).json()["memberships"]) == 1_000


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"profile_ids": [str(number) for number in range(1_001)]}, 422, "invalid_request"),
        ({"profile_ids": "ada"}, 422, "invalid_request"),
        ({"profile_ids": [1]}, 422, "invalid_request"),
        ({"profile_ids": [], "segments": "a"}, 422, "invalid_request"),
        ({"profile_ids": [], "other": 1}, 422, "invalid_request"),
        ({}, 422, "invalid_request"),
        ([], 422, "invalid_request"),
        (b"{", 400, "invalid_json"),
        (b"\xff", 400, "invalid_json"),
        (b'{"profile_ids": ["\\ud800"]}', 400, "invalid_json"),
        (b" " * (4 << 20) + b"{}", 413, "too_large"),
    ],
)
async def test_lookups_of_the_wrong_shape(api: httpx.AsyncClient, body: Any, status: int, code: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    refused(await api.post("/v1/memberships/lookup", content=content), status, code)


# segments


async def test_segments(world: World) -> None:
    answer = await world.api.post("/v1/segments", json={"key": world.name, "rule": NEVER})
    world.segments.append(world.name)
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {
        "key", "name", "description", "rule", "tags", "status", "version", "size", "created_at", "updated_at",
        "evaluated_at", "backfill",
    }  # fmt: skip
    assert (made["version"], made["size"], made["status"]) == (1, 0, "draft")
    refused(await world.api.post("/v1/segments", json={"key": world.name, "rule": NEVER}), 409, "segment_exists")
    read = await world.api.get(f"/v1/segments/{world.name}")
    assert (read.json(), read.headers["ETag"]) == (made, answer.headers["ETag"])
    changed = await world.api.put(f"/v1/segments/{world.name}", json={"rule": {"event": "other"}, "name": "New"})
    assert (changed.json()["version"], changed.json()["name"]) == (2, "New")
    same = await world.api.put(f"/v1/segments/{world.name}", json={"rule": {"event": "other"}, "tags": ["a"]})
    assert same.json()["version"] == 2
    assert same.headers["ETag"] != changed.headers["ETag"]
    page = await world.get("/v1/segments", limit=1000)
    assert world.name in [each["key"] for each in page["segments"]]
    assert page["next_cursor"] is None
    assert (await world.api.delete(f"/v1/segments/{world.name}")).status_code == 204
    refused(await world.api.delete(f"/v1/segments/{world.name}"), 404, "segment_not_found")
    refused(await world.api.put(f"/v1/segments/{world.name}", json={"rule": NEVER}), 404, "segment_not_found")


async def test_the_second_of_two_writers(world: World) -> None:
    key = await world.segment()
    etag = (await world.api.get(f"/v1/segments/{key}")).headers["ETag"]
    first = await world.api.put(f"/v1/segments/{key}", json={"rule": NEVER, "name": "A"}, headers={"If-Match": etag})
    assert first.status_code == 200
    second = await world.api.put(f"/v1/segments/{key}", json={"rule": NEVER, "name": "B"}, headers={"If-Match": etag})
    refused(second, 412, "version_conflict")
    assert (await world.get(f"/v1/segments/{key}"))["name"] == "A"
    assert (await world.api.put(f"/v1/segments/{key}", json={"rule": NEVER, "name": "C"})).status_code == 200


async def test_a_refused_rule(world: World) -> None:
    rule = {
        "all": [
            {"trait": "plan", "op": "equals", "value": 1},
            {"list": "none"},
            {"trait": "computed.x", "op": "exists"},
        ]
    }
    answer = await world.api.post("/v1/segments", json={"key": world.name, "rule": rule})
    assert refused(answer, 422, "rule_invalid") == [
        ("unknown_operator", "/all/0/op"),
        ("unknown_list", "/all/1/list"),
        ("unknown_computed_trait", "/all/2/trait"),
    ]


async def test_versions(world: World) -> None:
    key = await world.segment({"event": "a", "within": "30d"})
    for rule in ({"event": "a", "within": "60d"}, {"any": [{"event": "a"}, {"event": "b"}]}):
        await world.api.put(f"/v1/segments/{key}", json={"rule": rule, "status": "live"})
    told = await world.get(f"/v1/segments/{key}/versions")
    assert [each["version"] for each in told["versions"]] == [3, 2, 1]
    assert told["next_cursor"] is None
    assert told["versions"][1]["changes"] == ['the rule, \'within\': "60d" in place of "30d"']
    assert told["versions"][2]["changes"] == []
    assert told["versions"][2]["description"] == "People who did “a” at least once in the last 30 days."
    assert await world.get(f"/v1/segments/{key}/versions/2") == told["versions"][1]
    first = await world.get(f"/v1/segments/{key}/versions", limit=2)
    rest = await world.get(f"/v1/segments/{key}/versions", limit=2, cursor=first["next_cursor"])
    assert first["versions"] + rest["versions"] == told["versions"]
    refused(await world.api.get(f"/v1/segments/{key}/versions/4"), 404, "version_not_found")
    refused(await world.api.get(f"/v1/segments/{key}/versions/x"), 422, "invalid_request")
    refused(await world.api.get("/v1/segments/none/versions"), 404, "segment_not_found")


# members


async def test_members_while_they_change(world: World) -> None:
    key = await world.segment()
    people = await world.members(key, 25)
    found, cursor = [], ""
    for turn in range(20):
        page = await world.get(f"/v1/segments/{key}/members", limit=7, cursor=cursor)
        found += [each["profile_id"] for each in page["members"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        await world.put({people[0]: [], world.person(f"a{turn}"): [key], world.person(f"z{turn}"): [key]})
        await until(lambda: world.size(key), 24 + 2 * (turn + 1))
    assert len(found) == len(set(found))
    assert set(people) <= set(found)
    assert sorted(found) == found
    refused(await world.api.get(f"/v1/segments/{key}/members?cursor=%21"), 422, "invalid_request")
    refused(await world.api.get(f"/v1/segments/{key}/members?limit=0"), 422, "invalid_request")
    refused(await world.api.get("/v1/segments/none/members"), 404, "segment_not_found")


async def test_size_members_and_export_agree(world: World) -> None:
    key = await world.segment()
    await world.members(key, 30)
    size = await world.get(f"/v1/segments/{key}/size")
    assert set(size) == {"size", "as_of", "history"}
    assert size["size"] == 30
    listed = await world.get(f"/v1/segments/{key}/members", limit=1000)
    lines = (await world.api.get(f"/v1/segments/{key}/export", params={"format": "jsonl"})).text.splitlines()
    assert list(map(json.loads, lines)) == listed["members"]
    await world.api.put(f"/v1/segments/{key}", json={"rule": NEVER, "status": "archived"})
    assert (await world.get(f"/v1/segments/{key}/size"))["size"] == 0
    assert (await world.get(f"/v1/segments/{key}/members"))["members"] == []
    assert (await world.api.get(f"/v1/segments/{key}/export")).text == "profile_id,since\r\n"


async def test_sizes_over_time(world: World) -> None:
    key = await world.segment()
    for asked in ({"from": "2020-01-01", "to": "2020-01-02T00:00:00Z"}, {"to": "2020-01-01"}):
        assert (await world.get(f"/v1/segments/{key}/size", **asked))["history"] == []
    for asked in ({"from": "x"}, {"to": "2020"}, {"from": "0001-01-01"}):
        refused(await world.api.get(f"/v1/segments/{key}/size", params=asked), 422, "invalid_request")


async def test_overlap(world: World) -> None:
    keys = [await world.segment() for _ in range(3)]
    one, two, three = keys
    people = {
        world.person(number): [key for at, key in enumerate(keys) if number % (at + 2) == 0] for number in range(60)
    }
    await world.put(people)
    await until(lambda: world.size(three), 15)
    told = await world.get(f"/v1/segments/{one}/overlap", **{"with": f"{two},{three}"})
    assert told["sizes"] == {one: 30, two: 20, three: 15}
    assert told["intersections"] == [
        {"segments": [one, two], "size": 10},
        {"segments": [one, three], "size": 15},
        {"segments": [two, three], "size": 5},
        {"segments": [one, two, three], "size": 5},
    ]
    assert told["union"] == 40
    await world.put({world.person(1): keys, world.person(0): []})  # bitmaps follow the changes

    async def sizes_and_union() -> Any:
        told = await world.get(f"/v1/segments/{one}/overlap", **{"with": f"{two},{three}"})
        return told["sizes"], told["union"], told["intersections"][3]["size"]

    await until(sizes_and_union, ({one: 30, two: 20, three: 15}, 40, 5))
    await world.put({world.person(7): keys})
    await until(sizes_and_union, ({one: 31, two: 21, three: 16}, 41, 6))
    await world.api.put(f"/v1/segments/{three}", json={"rule": NEVER})
    told = await world.get(f"/v1/segments/{one}/overlap", **{"with": f"{two},{three}"})
    assert (told["sizes"][three], told["intersections"][3]["size"]) == (0, 0)
    refused(await world.api.get(f"/v1/segments/{one}/overlap"), 422, "invalid_request")
    refused(await world.api.get(f"/v1/segments/{one}/overlap?with={one}"), 422, "invalid_request")
    refused(await world.api.get(f"/v1/segments/{one}/overlap?with=a,b,c,d,e"), 422, "invalid_request")
    refused(await world.api.get(f"/v1/segments/{one}/overlap?with=none"), 404, "segment_not_found")


async def test_exports(world: World) -> None:
    key = await world.segment()
    odd = ["=1+1", "+a", "-b", "@c", "\tx", " =2", 'with "quotes", and\nlines', "ünï", "plain"]
    await world.put({each: [key] for each in odd})
    await until(lambda: world.size(key), len(odd))
    try:
        answer = await world.api.get(f"/v1/segments/{key}/export", params={"format": "csv"})
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert f"{key}.csv" in answer.headers["Content-Disposition"]
        assert TIME.fullmatch(answer.headers["As-Of"])
        rows = list(csv.reader(io.StringIO(answer.text, newline="")))
        assert rows[0] == ["profile_id", "since"]
        cells = {row[0] for row in rows[1:]}
        assert cells == {"'=1+1", "'+a", "'-b", "'@c", "'\tx", "' =2", odd[6], "ünï", "plain"}
        lines = (await world.api.get(f"/v1/segments/{key}/export", params={"format": "jsonl"})).text.splitlines()
        assert {json.loads(line)["profile_id"] for line in lines} == set(odd)
        parquet = await world.api.get(f"/v1/segments/{key}/export", params={"format": "parquet"})
        table = pyarrow.parquet.read_table(io.BytesIO(parquet.content))
        assert set(table["profile_id"].to_pylist()) == set(odd)
        assert str(table.schema.field("since").type) == "timestamp[ms, tz=UTC]"
        refused(await world.api.get(f"/v1/segments/{key}/export", params={"format": "xls"}), 422, "invalid_request")
        refused(await world.api.get("/v1/segments/none/export"), 404, "segment_not_found")
    finally:
        await world.put({each: [] for each in odd})


# lists and computed traits


async def test_lists(world: World) -> None:
    key, path = f"{world.name}-l", f"/v1/lists/{world.name}-l"
    refused(await world.api.get(path), 404, "list_not_found")
    refused(await world.api.post(f"{path}/members", json={"profile_ids": ["a"]}), 404, "list_not_found")
    made = await world.api.put(path, json={"name": "News"})
    assert (made.status_code, made.json()["name"], made.json()["size"]) == (201, "News", 0)
    assert (await world.api.put(path, json={"name": "Newer"})).status_code == 200
    added = await world.api.post(f"{path}/members", json={"profile_ids": ["a", "b", "a"]})
    assert (added.status_code, added.json()["added"], added.json()["size"]) == (200, 2, 2)
    rows = 'profile_id,other\nb,1\n"c, d",2\n'
    added = await world.api.post(f"{path}/members", content=rows, headers={"Content-Type": "text/csv; charset=utf-8"})
    assert (added.json()["added"], added.json()["size"]) == (1, 3)
    assert (await world.get(path))["name"] == "Newer"
    segment = await world.segment({"list": key})
    refused(await world.api.delete(path), 409, "in_use")
    await world.api.delete(f"/v1/segments/{segment}")
    assert (await world.api.delete(path)).status_code == 204
    refused(await world.api.delete(path), 404, "list_not_found")


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, ("missing_key", "")),
        ([], ("wrong_type", "")),
        ({"profile_ids": "a"}, ("wrong_type", "/profile_ids")),
        ({"profile_ids": ["a", 1]}, ("wrong_type", "/profile_ids/1")),
        ({"profile_ids": [""]}, ("bad_value", "/profile_ids/0")),
        ({"profile_ids": ["x" * 1_025]}, ("bad_value", "/profile_ids/0")),
        ({"profile_ids": [], "x": 1}, ("unknown_key", "/x")),
    ],
)
async def test_list_members_of_the_wrong_shape(world: World, body: Any, fault: tuple[str, str]) -> None:
    path = f"/v1/lists/{world.name}-l"
    await world.api.put(path, json={})
    assert refused(await world.api.post(f"{path}/members", json=body), 422, "invalid_request") == [fault]
    bad = await world.api.post(f"{path}/members", content=b"\xff", headers={"Content-Type": "text/csv"})
    refused(bad, 400, "invalid_csv")
    await world.api.delete(path)


async def test_computed_traits(world: World) -> None:
    key, path = f"{world.name}_ltv", f"/v1/computed-traits/{world.name}_ltv"
    refused(await world.api.get(path), 404, "computed_trait_not_found")
    made = await world.api.put(path, json={"event": "Order Completed", "measure": {"sum": "total"}})
    assert made.status_code == 201, made.text
    assert (made.json()["key"], made.json()["measure"]) == (key, {"sum": "total"})
    assert (await world.api.put(path, json={"key": key, "event": "Order Completed"})).status_code == 200
    assert "measure" not in await world.get(path)
    assert key in [each["key"] for each in (await world.get("/v1/computed-traits", limit=1000))["computed_traits"]]
    bad = await world.api.put(path, json={"event": "x", "measure": {"mode": "y"}, "within": "5x"})
    assert ("bad_duration", "/within") in refused(bad, 422, "rule_invalid")
    refused(await world.api.put(path, json={"key": "other", "event": "x"}), 422, "rule_invalid")
    segment = await world.segment({"trait": f"computed.{key}", "op": "gt", "value": 5})
    refused(await world.api.delete(path), 409, "in_use")
    await world.api.delete(f"/v1/segments/{segment}")
    assert (await world.api.delete(path)).status_code == 204
    refused(await world.api.delete(path), 404, "computed_trait_not_found")


# what every route has


async def test_idempotency_keys(world: World) -> None:
    body = {"key": world.name, "rule": NEVER}
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    answers = await asyncio.gather(*(world.api.post("/v1/segments", json=body, headers=headers) for _ in range(4)))
    world.segments.append(world.name)
    assert {each.status_code for each in answers} <= {201, 409}
    assert [each.json()["code"] for each in answers if each.status_code == 409] == ["idempotency_in_progress"] * sum(
        each.status_code == 409 for each in answers
    )
    again = await world.api.post("/v1/segments", json=body, headers=headers)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    first = next(each for each in answers if each.status_code == 201)
    assert (again.content, again.headers["ETag"]) == (first.content, first.headers["ETag"])
    other = await world.api.post("/v1/segments", json={**body, "name": "x"}, headers=headers)
    refused(other, 422, "idempotency_mismatch")
    refused_first = {"Idempotency-Key": secrets.token_hex(8)}
    for _ in range(2):
        answer = await world.api.post("/v1/segments", json={"key": "Bad"}, headers=refused_first)
        refused(answer, 422, "invalid_request") if "Idempotency-Replayed" not in answer.headers else None
        assert answer.status_code == 422


async def test_gzip_and_request_ids(world: World) -> None:
    key = await world.segment()
    await world.members(key, 50)
    answer = await world.api.get(f"/v1/segments/{key}/members", headers={"Request-Id": "mine-1"})
    assert (answer.headers["Content-Encoding"], answer.headers["Request-Id"]) == ("gzip", "mine-1")
    plain = await world.api.get(f"/v1/segments/{key}/members", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.json()["members"] == answer.json()["members"]


async def test_rates_are_told(api: httpx.AsyncClient) -> None:
    for path in ("/v1/profiles/x/segments", "/v1/segments", "/v1/profiles/x"):
        headers = (await api.get(path)).headers
        assert int(headers["RateLimit-Limit"]) > int(headers.get("RateLimit-Remaining", -1)) >= 0
        assert headers["RateLimit-Reset"] == "1"


async def test_no_route_is_open(platform: Any) -> None:
    async with httpx.AsyncClient(base_url=platform.segments_url) as anybody:
        document = (await anybody.get("/openapi.json")).json()
        for path, operations in document["paths"].items():
            for method in operations:
                if method in ("get", "put", "post", "delete"):
                    answer = await anybody.request(method, path.format_map(Anything()), content=b"{")
                    assert answer.status_code == 401, (method, path)
                    assert "WWW-Authenticate" in answer.headers


class Anything(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "1"
