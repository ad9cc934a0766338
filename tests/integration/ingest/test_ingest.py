"""ingest-api of a running platform, by its contract: real SDK in, topics out."""

import gzip
import json
import socket
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import httpx
import pytest
import segment.analytics as segment_analytics

from audience.adapters.kafka.reader import end_of, read_between
from audience.wire.topics import EVENTS, EVENTS_BAD, BadEventRecord, EventRecord, decode_bad_event, decode_event
from tests.unit.ingest.poison import poisons

pytestmark = pytest.mark.platform


class Platform(Protocol):
    """What these tests need of the running platform."""

    @property
    def ingest_url(self) -> str: ...
    @property
    def kafka_bootstrap(self) -> str: ...
    @property
    def write_key(self) -> str: ...


class Topics:
    """What came into the two topics since the beginning of a test."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._start = {topic: end_of(bootstrap, topic) for topic in (EVENTS, EVENTS_BAD)}

    def _values(self, topic: str) -> Iterator[bytes]:
        end = end_of(self._bootstrap, topic)
        return (record.value or b"" for record in read_between(self._bootstrap, topic, self._start[topic], end))

    def events_of(self, user: str) -> list[EventRecord]:
        return [event for event in map(decode_event, self._values(EVENTS)) if event.user_id == user]

    def bad_with(self, text: str) -> list[BadEventRecord]:
        return [bad for bad in map(decode_bad_event, self._values(EVENTS_BAD)) if text.encode() in bad.original]


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


@pytest.mark.parametrize("packed", [False, True])
def test_segment_analytics_python(platform: Platform, topics: Topics, user: str, *, packed: bool) -> None:
    failures: list[Any] = []
    client = segment_analytics.Client(
        platform.write_key, host=platform.ingest_url, on_error=lambda error, _: failures.append(error), gzip=packed
    )
    client.identify(user, {"plan": "pro", "logins": 3})
    for number in range(250):  # more than one batch
        client.track(user, "Order Completed", {"total": number + 0.5})
    client.page(user, "shop", "Cart", {"path": "/cart"})
    client.screen(user, "app", "Home")
    client.group(user, "g1", {"name": "Acme"})
    client.alias("before", user)
    client.flush()
    client.join()
    assert failures == []
    events = topics.events_of(user)
    assert Counter(event.type for event in events) == {
        "identify": 1, "track": 250, "page": 1, "screen": 1, "group": 1, "alias": 1,
    }  # fmt: skip
    assert len({event.message_id for event in events}) == len(events)
    by_type = {event.type: event for event in events}
    assert by_type["identify"].traits == {"plan": "pro", "logins": 3}
    assert sorted(event.properties["total"] for event in events if event.type == "track")[:2] == [0.5, 1.5]
    assert by_type["page"].name == "Cart"
    assert by_type["group"].group_id == "g1"
    assert by_type["alias"].previous_id == "before"
    for event in events:
        assert event.context["library"]["name"] == "analytics-python"
        assert event.received_ms - 60_000 < event.time_ms <= event.received_ms
        assert event.profile_id == user
    assert topics.bad_with(user) == []


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


def test_poison(anonymous: httpx.Client, topics: Topics, user: str) -> None:
    for poison in poisons(400, seed=7):
        answer = anonymous.post(poison.path, content=poison.body, headers=poison.headers)
        assert answer.status_code in {200, 400, 401, 413}, (answer.status_code, poison.path, poison.body[:300])
    assert anonymous.get("/readyz").status_code == 200


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
