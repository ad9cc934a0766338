"""ingest-api of a running platform, by its contract: requests in, topics out."""

import gzip
import json
import socket
import uuid
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.integration.ingest.topics import Platform, Topics

pytestmark = pytest.mark.platform


@pytest.fixture
def topics(platform: Platform) -> Topics:
    return Topics(platform.kafka_bootstrap)


@pytest.fixture
def user() -> str:
    """A user of this test alone."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def http(platform: Platform) -> Iterator[httpx.Client]:
    headers = {"Origin": "http://elsewhere.example"}
    auth = (platform.write_key, "")
    with httpx.Client(base_url=platform.ingest_url, auth=auth, headers=headers, timeout=20) as client:
        yield client


@pytest.fixture
def anonymous(platform: Platform) -> Iterator[httpx.Client]:
    """A client without credentials."""
    with httpx.Client(base_url=platform.ingest_url, timeout=20) as client:
        yield client


def test_a_batch_with_the_key_in_its_body(
    anonymous: httpx.Client, platform: Platform, topics: Topics, user: str
) -> None:
    body = {"writeKey": platform.write_key, "batch": [{"type": "track", "event": "E", "userId": user}]}
    answer = anonymous.post("/v1/batch", json=body)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    [event] = topics.events_of(user)
    assert event.message_id  # made


def test_gzip_as_rudder_sends_it(http: httpx.Client, topics: Topics, user: str) -> None:
    packed = gzip.compress(json.dumps({"batch": [{"type": "identify", "userId": user, "traits": {"a": 1}}]}).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"}
    assert http.post("/v1/batch", content=packed, headers=headers).status_code == 200
    assert [event.traits for event in topics.events_of(user)] == [{"a": 1}]


@pytest.mark.parametrize(
    ("ask", "status", "code"),
    [
        (lambda http: http.post("/v1/batch", content=b"{"), 400, "invalid_json"),
        (lambda http: http.post("/v1/track", content=b"[]"), 400, "invalid_json"),
        (lambda http: http.post("/v1/batch", content=b"x", headers={"Content-Encoding": "gzip"}), 400, "invalid_gzip"),
        (lambda http: http.post("/v1/batch", json={"batch": []}, auth=("nope", "")), 401, "unauthorized"),
        (lambda http: http.post("/v1/batch", content=b"{", auth=("nope", "")), 401, "unauthorized"),
        (lambda http: http.post("/v1/batch", json={"batch": [1] * 2501}), 413, "too_many_events"),
        (lambda http: http.post("/v1/batch", content=b"[" * (4 * 2**20 + 1)), 413, "too_large"),
        (lambda http: http.get("/v1/track"), 405, "method_not_allowed"),
        (lambda http: http.get("/v1/projects/nope/settings"), 404, "not_found"),
    ],
)
def test_refusals(http: httpx.Client, ask: Callable[[httpx.Client], httpx.Response], status: int, code: str) -> None:
    answer = ask(http)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["message"]
    assert answer.headers["access-control-allow-origin"] == "*"


def test_no_key_at_all(anonymous: httpx.Client) -> None:
    answer = anonymous.post("/v1/track", json={"event": "E", "userId": "u"})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_bad_events_are_kept(http: httpx.Client, topics: Topics, user: str) -> None:
    mark = f"mark-{user}"
    for path, body in (
        ("/v1/track", {"event": mark}),
        ("/v1/batch", {"batch": [{"type": "track", "event": mark, "userId": user}, {"type": mark, "userId": user}]}),
        (
            "/v1/batch",
            {"batch": [{"type": "track", "userId": user, "event": mark, "properties": {"x": "y" * 1_000_000}}]},
        ),
    ):
        answer = http.post(path, json=body)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert sorted(bad.code for bad in topics.bad_with(mark)) == ["missing_id", "too_large", "unknown_type"]
    assert len(topics.events_of(user)) == 1


def test_a_broken_request_does_not_harm(platform: Platform, http: httpx.Client) -> None:
    address = httpx.URL(platform.ingest_url)
    for raw in (
        b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",  # and goes away
        b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"\x16\x03\x01\x00\xa5",  # TLS
        b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ):
        with socket.create_connection((address.host, address.port or 80), timeout=5) as line:
            line.sendall(raw)
    assert http.post("/v1/batch", json={"batch": []}).status_code == 200


def test_settings_for_the_browser(platform: Platform, anonymous: httpx.Client) -> None:
    told = anonymous.get(f"/v1/projects/{platform.write_key}/settings").json()["integrations"]["Segment.io"]
    assert told["apiKey"] == platform.write_key
    address = f"{told['protocol']}://{told['apiHost']}"
    headers = {"Origin": "http://elsewhere.example", "Access-Control-Request-Headers": "authorization,content-type"}
    assert anonymous.options(f"{address}/t", headers=headers).status_code == 204
    body = {"writeKey": platform.write_key, "event": "E", "anonymousId": "a1"}
    assert anonymous.post(f"{address}/t", json=body, headers={"Content-Type": "text/plain"}).status_code == 200
