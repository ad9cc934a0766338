"""The routes, statuses and bodies of segment-protocol.md, over HTTP."""

import asyncio
import base64
import gzip
import json
from typing import Any

import pytest

from audience.wire.topics import EVENTS, EVENTS_BAD
from services.ingest.limits import Limits
from services.ingest.repeats import Repeats
from tests.unit.ingest.fakes import KEY, MemoryCatalog, Service, running

TRACK = {"type": "track", "event": "Order Completed", "userId": "u1", "messageId": "m1"}
SINGLES = {
    "identify": "i", "track": "t", "page": "p", "screen": "s", "group": "g", "alias": "a",
}  # fmt: skip
BATCHES = ("batch", "import", "b")


async def assert_success(service: Service, path: str, body: Any, **more: Any) -> None:
    answer = await service.post(path, body, **more)
    assert (answer.status_code, answer.json()) == (200, {"success": True}), answer.text


async def refused(service: Service, path: str, body: Any, **more: Any) -> tuple[int, str]:
    more["headers"] = {"Origin": "https://shop.example"} | more.get("headers", {})
    answer = await service.post(path, body, **more)
    told = answer.json()
    assert set(told) == {"code", "message", "request_id"}
    assert told["message"]
    assert "detail" not in told
    assert answer.headers["request-id"] == told["request_id"]
    assert answer.headers["access-control-allow-origin"] == "*"
    return answer.status_code, told["code"]


@pytest.mark.parametrize(("path", "type_"), [(path, each) for each, short in SINGLES.items() for path in (each, short)])
async def test_single_calls(service: Service, path: str, type_: str) -> None:
    await assert_success(service, f"/v1/{path}", {**TRACK, "type": "ignored", "name": "Home"})
    [event] = service.log.events
    assert event.type == type_
    assert event.name == {"track": "Order Completed", "page": "Home", "screen": "Home"}.get(type_, "")


@pytest.mark.parametrize("path", BATCHES)
async def test_batches(service: Service, path: str) -> None:
    events = [{**TRACK, "type": each, "messageId": each} for each in SINGLES]
    await assert_success(service, f"/v1/{path}", {"batch": events})
    assert [event.type for event in service.log.events] == list(SINGLES)
    assert service.log.appends == 1


@pytest.mark.parametrize("path", BATCHES)
async def test_an_empty_batch_is_fine(service: Service, path: str) -> None:
    await assert_success(service, f"/v1/{path}", {"batch": []})
    assert service.log.topics == {}


async def test_the_record_and_its_key(service: Service) -> None:
    await assert_success(service, "/v1/track", {**TRACK, "anonymousId": "a1"})
    [record] = service.log.topics[EVENTS]
    assert record.key == "demo:u1"
    [event] = service.log.events
    assert (event.workspace, event.source, event.profile_id, event.message_id) == ("demo", "shop", "u1", "m1")


async def test_traits_stay_where_they_were_sent(service: Service) -> None:
    body = {"userId": "u1", "traits": {"plan": None}, "context": {"traits": {"plan": "pro", "age": 4}}}
    await assert_success(service, "/v1/identify", body)
    [event] = service.log.events
    assert event.traits == {"plan": None}
    assert event.context == {"traits": {"plan": "pro", "age": 4}}


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense", ""],
)
async def test_the_content_type_is_ignored(service: Service, content_type: str) -> None:
    await assert_success(service, "/v1/track", json.dumps(TRACK).encode(), headers={"Content-Type": content_type})
    await assert_success(service, "/v1/track", json.dumps(TRACK).encode())
    assert len(service.log.events) == 2


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip"])
async def test_gzip(service: Service, coding: str) -> None:
    packed = gzip.compress(json.dumps({"batch": [TRACK]}).encode())
    headers = {"Content-Encoding": coding, "Content-Type": "application/x-www-form-urlencoded"}
    await assert_success(service, "/v1/batch", packed, headers=headers)
    assert len(service.log.events) == 1


@pytest.mark.parametrize(
    ("body", "coding", "answer"),
    [
        (b"", "", (400, "invalid_json")),
        (b" ", "", (400, "invalid_json")),
        (b"{", "", (400, "invalid_json")),
        (b"[]", "", (400, "invalid_json")),
        (b"null", "", (400, "invalid_json")),
        (b'"batch"', "", (400, "invalid_json")),
        (b"{}", "", (400, "invalid_json")),
        (b'{"batch": {}}', "", (400, "invalid_json")),
        (b'{"batch": null}', "", (400, "invalid_json")),
        (b'{"batch": "x"}', "", (400, "invalid_json")),
        (b'{"batch": []', "", (400, "invalid_json")),
        (b'{"batch": []} x', "", (400, "invalid_json")),
        (b'{"batch": [],}', "", (400, "invalid_json")),
        (b'{"batch": [{]}', "", (400, "invalid_json")),
        (b'{"batch": [{"a": 01}]}', "", (400, "invalid_json")),
        (b'{"batch": [,]}', "", (400, "invalid_json")),
        (b'{"batch": ["\xff"]}', "", (400, "invalid_json")),
        (b'{"batch": [], "x": "\xff"}', "", (400, "invalid_json")),
        (b'\xef\xbb\xbf{"batch": []}', "", (400, "invalid_json")),
        (b'{"batch": []}', "gzip", (400, "invalid_gzip")),
        (gzip.compress(b'{"batch": []}', mtime=0)[:-4], "gzip", (400, "invalid_gzip")),
        (gzip.compress(b'{"batch": []}', mtime=0) + b"junk", "gzip", (400, "invalid_gzip")),
        (b"", "gzip", (400, "invalid_gzip")),
        (b'{"batch": []}', "br", (400, "unsupported_encoding")),
        (b'{"batch": []}', "gzip, gzip", (400, "unsupported_encoding")),
    ],
)
async def test_bodies_that_are_refused_whole(
    service: Service, body: bytes, coding: str, answer: tuple[int, str]
) -> None:
    assert await refused(service, "/v1/batch", body, headers={"Content-Encoding": coding}) == answer
    assert service.log.topics == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b'"x"', b"null", b'{"a": 1.}', b'{"a": "\xff"}', b"{} {}"])
async def test_single_bodies_that_are_refused_whole(service: Service, body: bytes) -> None:
    assert await refused(service, "/v1/track", body) == (400, "invalid_json")
    assert await refused(service, "/v1/track", body, key=None) in {(400, "invalid_json"), (401, "unauthorized")}
    assert service.log.topics == {}


async def test_too_many_events() -> None:
    async with running(limits=Limits(batch_events=3)) as service:
        await assert_success(service, "/v1/batch", {"batch": [TRACK] * 3})
        assert await refused(service, "/v1/batch", {"batch": [TRACK] * 4}) == (413, "too_many_events")
        assert len(service.log.events) == 3


async def test_the_limits_of_the_contract() -> None:
    assert (Limits().body_bytes, Limits().batch_events, Limits().event_bytes) == (4 * 2**20, 2500, 32 * 2**10)


async def test_the_size_of_an_unpacked_body() -> None:
    fits = b'{"batch": []}'.ljust(1000)
    async with running(limits=Limits(body_bytes=1000)) as service:
        await assert_success(service, "/v1/batch", fits)
        await assert_success(service, "/v1/batch", gzip.compress(fits), headers={"Content-Encoding": "gzip"})
        assert await refused(service, "/v1/batch", fits + b" ") == (413, "too_large")
        packed = gzip.compress(fits + b" ")
        assert len(packed) < 100
        assert await refused(service, "/v1/batch", packed, headers={"Content-Encoding": "gzip"}) == (413, "too_large")


@pytest.mark.parametrize("over", [0, 1])
async def test_the_size_of_an_event_is_its_own_bytes(service: Service, over: int) -> None:
    event = {**TRACK, "properties": {"x": ""}}
    event["properties"] = {"x": "é" * ((32 * 1024 - len(json.dumps(event))) // 2)}
    text = json.dumps(event, ensure_ascii=False).encode()
    text = text.replace(b'"m1"', b'"m1"' + b" " * (32 * 1024 + over - len(text)))
    assert len(text) == 32 * 1024 + over
    for path, body in (("/v1/batch", b'{"batch": [ ' + text + b" ]}"), ("/v1/track", b"\n" + text + b"\n")):
        await assert_success(service, path, body)
    assert len(service.log.events) == (0 if over else 2)
    assert [(bad.code, bad.path, bad.original) for bad in service.log.bad] == [("too_large", "", text)] * (2 * over)


async def test_one_bad_event_never_fails_its_batch(service: Service) -> None:
    bad = b'{"type" : "track", "event": 5, "userId": "u2"}'
    good = json.dumps(TRACK).encode()
    await assert_success(service, "/v1/batch", b'{"batch":[' + good + b"," + bad + b"," + good + b"]}")
    assert len(service.log.events) == 2
    [record] = service.log.topics[EVENTS_BAD]
    assert record.key == "demo:shop"
    [told] = service.log.bad
    assert (told.code, told.path, told.original) == ("wrong_type", "/event", bad)
    assert (told.workspace, told.source, told.profile_id) == ("demo", "shop", "u2")
    assert told.message
    assert told.received_ms == service.log.events[0].received_ms


async def test_a_single_call_that_is_not_valid(service: Service) -> None:
    body = b' {"event": "X"} '
    await assert_success(service, "/v1/track", body)
    [told] = service.log.bad
    assert (told.code, told.original, told.profile_id) == ("missing_id", body.strip(), None)


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "body_key", "status", "source"),
    [
        (basic(f"{KEY}:"), None, 200, "shop"),
        (basic(f"{KEY}:password"), None, 200, "shop"),
        ({"Authorization": basic(f"{KEY}:")["Authorization"].replace("Basic", "bAsIc")}, None, 200, "shop"),
        ({}, KEY, 200, "shop"),
        (basic(f"{KEY}:"), "other-key", 200, "shop"),  # Basic counts
        (basic("other-key:"), KEY, 200, "app"),
        (basic(":"), KEY, 200, "shop"),  # an empty user is none
        ({"Authorization": "Bearer token"}, KEY, 200, "shop"),  # another scheme is not ours
        (basic("nope:"), KEY, 401, ""),
        (basic("nope:"), None, 401, ""),
        ({}, "nope", 401, ""),
        ({}, None, 401, ""),
        ({}, "", 401, ""),
        ({}, 5, 401, ""),
        ({}, [KEY], 401, ""),
        ({"Authorization": "Basic"}, KEY, 401, ""),
        ({"Authorization": "Basic !!!"}, KEY, 401, ""),
        ({"Authorization": "Basic " + base64.b64encode(b"\xff:").decode()}, KEY, 401, ""),
        ({"Authorization": "Basic " + base64.b64encode(KEY.encode()).decode()}, None, 401, ""),  # no colon
    ],
)
@pytest.mark.parametrize("path", ["/v1/batch", "/v1/track"])
async def test_credentials(
    service: Service, path: str, headers: dict[str, str], body_key: Any, status: int, source: str
) -> None:
    body: dict[str, Any] = {"batch": [TRACK]} if path == "/v1/batch" else dict(TRACK)
    if body_key is not None:
        body["writeKey"] = body_key
    if status == 200:
        await assert_success(service, path, body, key=None, headers=headers)
        assert [event.source for event in service.log.events] == [source]
    else:
        assert await refused(service, path, body, key=None, headers=headers) == (status, "unauthorized")
        assert service.log.topics == {}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"x" * 5_000_000, gzip.compress(b"[]", mtime=0)])
async def test_a_wrong_basic_key_is_401_whatever_the_body(service: Service, body: bytes) -> None:
    assert await refused(service, "/v1/batch", body, key="nope") == (401, "unauthorized")


@pytest.mark.parametrize(
    "rest", ['"batch": 5', '"batch": [{"a": NaN}]', '"x": 1', '"batch": [' + ",".join(["1"] * 2501) + "]"]
)
async def test_an_unknown_key_in_a_body_counts_before_its_faults(service: Service, rest: str) -> None:
    body = f'{{"writeKey": "nope", {rest}}}'.encode()
    assert await refused(service, "/v1/batch", body, key=None) == (401, "unauthorized")


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/track", "/v1/t"])
async def test_503_while_the_log_is_away(service: Service, path: str) -> None:
    service.log.away = True
    body = {"batch": [TRACK]} if path == "/v1/batch" else TRACK
    answer = await service.post(path, body)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert 0 < int(answer.headers["retry-after"]) <= 300
    service.log.away = False
    await assert_success(service, path, body)
    assert [event.message_id for event in service.log.events] == ["m1"]


async def test_503_while_no_sources_are_known() -> None:
    catalog = MemoryCatalog()
    catalog.be_away()
    async with running(catalog=catalog, sources_refresh_s=0.01) as service:
        answer = await service.post("/v1/batch", {"batch": [TRACK]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert (await service.http.get("/readyz")).status_code == 503
        assert (await service.http.get("/v1/projects/demo-write-key/settings")).status_code == 503
        catalog.fault = None
        await asyncio.sleep(0.05)
        await assert_success(service, "/v1/batch", {"batch": [TRACK]})


@pytest.mark.parametrize("path", ["/v1/track", "/v1/b", "/v1/m"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_other_methods(service: Service, path: str, method: str) -> None:
    answer = await service.http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/v1/nope", "/v1", "/", "/v1/track/x", "/track"])
async def test_other_paths(service: Service, path: str) -> None:
    answer = await service.post(path, TRACK)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_reports_of_the_browsers_sdk_are_dropped(service: Service) -> None:
    for key in (None, KEY, "nope"):
        await assert_success(service, "/v1/m", {"series": [{"type": "Counter"}]}, key=key)
    assert service.log.topics == {}


async def test_a_fault_of_ours_is_500_in_the_contracts_shape(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(service.log), "append", lambda _, records: fail(records))
    assert await refused(service, "/v1/track", TRACK) == (500, "internal_error")


async def test_the_clients_request_id_comes_back(service: Service) -> None:
    answer = await service.post("/v1/track", TRACK, headers={"Request-Id": "mine-1"})
    assert answer.headers["request-id"] == "mine-1"


async def test_events_are_counted(service: Service) -> None:
    await service.post("/v1/batch", {"batch": [TRACK, TRACK, {}]})
    await service.post("/v1/track", b"{")
    assert service.metric("ingest_events_accepted_total", {"workspace": "demo", "source": "shop"}) == 2
    labels = {"workspace": "demo", "source": "shop", "reason": "unknown_type"}
    assert service.metric("ingest_events_bad_total", labels) == 1
    assert service.metric("ingest_requests_total", {"route": "batch", "status": "200"}) == 1
    assert service.metric("ingest_requests_total", {"route": "track", "status": "400"}) == 1
    assert service.metric("ingest_append_seconds_count") == 1
    assert service.metric("ingest_sources") == 2
    assert "ingest_events_accepted_total" in (await service.http.get("/metrics")).text


async def test_events_that_come_again_are_counted_and_accepted(service: Service) -> None:
    labels = {"workspace": "demo", "source": "shop"}
    await service.post("/v1/batch", {"batch": [TRACK, {**TRACK, "messageId": "m2"}]})
    assert service.metric("ingest_events_repeated_total", labels) is None
    await service.post("/v1/track", TRACK, key="other-key")  # another source's ids are its own
    await service.post("/v1/batch", {"batch": [TRACK, {**TRACK, "messageId": "m3"}, TRACK]})
    assert service.metric("ingest_events_repeated_total", labels) == 2
    assert len(service.log.events) == 6


def test_ids_are_forgotten_in_time() -> None:
    repeats = Repeats(remembered=10)
    assert repeats.count("s", (str(number) for number in range(10))) == 0
    assert repeats.count("s", ["0", "9"]) == 2
    for start in range(10, 40, 10):
        assert repeats.count("s", (str(number) for number in range(start, start + 10))) == 0
    assert repeats.count("s", ["0", "9"]) == 0
    assert len(repeats._younger) + len(repeats._older) <= 22
