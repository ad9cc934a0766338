"""Tracking plans and bad events over the API, on the running platform."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from services.operations.__main__ import app
from tests.integration.ingest.topics import Platform, Topics

pytestmark = pytest.mark.platform

WITHIN_S = 5
PLAN = {
    "mode": "block",
    "events": {
        "Order Completed": {"properties": {"properties": {"properties": {"total": {"type": "number"}}}}},
    },
}


@pytest.fixture
def api(platform: Platform) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {platform.api_token}"}
    with httpx.Client(base_url=platform.segments_url, headers=headers, timeout=90) as client:
        yield client


@pytest.fixture
def source(api: httpx.Client) -> Iterator[dict[str, Any]]:
    answer = api.post("/v1/sources", json={"source": f"plan-{secrets.token_hex(6)}", "kind": "browser"})
    assert answer.status_code == 201, answer.text
    yield answer.json()
    assert api.delete(f"/v1/sources/{answer.json()['source']}").status_code == 204


def within(seconds: float, true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until_s, f"not within {seconds} s"
        time.sleep(0.1)


def test_from_a_plan_to_a_violation_that_is_sent_again(
    platform: Platform, api: httpx.Client, source: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    topics, user, name = Topics(platform.kafka_bootstrap), f"plan-{secrets.token_hex(6)}", source["source"]
    path = f"/v1/sources/{name}/tracking-plan"

    def send(**properties: Any) -> int:
        event = {"userId": user, "event": "Order Completed", "properties": properties}
        auth = (source["write_key"], "")
        return httpx.post(f"{platform.ingest_url}/v1/track", json=event, auth=auth, timeout=20).status_code

    assert name in {each["source"] for each in api.get("/v1/sources", params={"limit": 1000}).json()["sources"]}
    assert api.get(f"/v1/sources/{name}").json() == source
    assert api.post("/v1/sources", json={"source": name}).json()["code"] == "source_exists"
    within(WITHIN_S, lambda: send(total=1) == 200)

    assert api.get(path).json()["code"] == "tracking_plan_not_found"
    refused = api.put(path, json={"events": {"x": {"pattern": "(?=a)"}}})
    assert (refused.status_code, refused.json()["code"]) == (422, "plan_invalid")
    assert refused.json()["errors"][0]["path"] == "/events/x/pattern"
    saved = api.put(path, json=PLAN).json()
    assert api.get(path).json() == saved

    def bad() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = api.get("/v1/bad-events", params={"source": name}).json()["bad_events"]
        return found

    # It bites within 5 s of being saved; what came until then is in `events`.
    within(WITHIN_S, lambda: send(total="much") == 200 and len(bad()) > 0)
    [first] = bad()[-1:]
    assert (first["code"], first["path"]) == ("plan_violation", "/properties/total")
    whole = api.get(f"/v1/bad-events/{first['place']}").json()
    assert json.loads(whole["original"])["properties"] == {"total": "much"}

    def counted() -> int:
        counts = api.get(f"{path}/violations").json()["violations"]
        assert {(each["event"], each["code"], each["mode"]) for each in counts} <= {
            ("Order Completed", "plan_violation", "block")
        }
        return sum(each["events"] for each in counts)

    within(WITHIN_S, lambda: counted() == len(bad()))

    monkeypatch.setenv("AUDIENCE_POSTGRES_DSN", platform.postgres_dsn)
    run = CliRunner()
    told = run.invoke(app, ["sources", "plan", "violations", name]).output
    assert "\tOrder Completed\tplan_violation\tblock\t" in told
    assert json.loads(run.invoke(app, ["sources", "plan", "show", name]).output) == PLAN
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({**PLAN, "mode": "sometimes"}))
    assert "/mode" in run.invoke(app, ["sources", "plan", "set", name, str(file)]).output
    file.write_text(json.dumps({**PLAN, "mode": "flag"}))
    assert run.invoke(app, ["sources", "plan", "set", name, str(file)]).exit_code == 0

    # Flagged from now on: what was blocked is accepted when it is sent again, with its violation on it.
    order = {"places": [first["place"]]}
    assert api.post("/v1/bad-events/replay", json={**order, "dry_run": True}).json()["events"][0]["userId"] == user

    def flagged() -> bool:
        send(total="much")
        return any(event.violation is not None for event in topics.events_of(user))

    within(WITHIN_S, flagged)
    done = api.post("/v1/bad-events/replay", json=order).json()
    assert (done["sent"], done["accepted"], done["more"]) == (1, 1, False)
    again = api.post("/v1/bad-events/replay", json=order).json()
    assert again["not_sent"] == {"it was sent again already": 1}
    replayed = [event for event in topics.events_of(user) if event.message_id == f"replay-{first['place']}"]
    assert [(event.violation.code, event.violation.path) for event in replayed if event.violation] == [
        ("plan_violation", "/properties/total")
    ]
    assert "no tracking plan any more" in run.invoke(app, ["sources", "plan", "remove", name]).output
    assert api.get(path).status_code == 404


def test_pages_of_bad_events(platform: Platform, api: httpx.Client, source: dict[str, Any]) -> None:
    auth, name = (source["write_key"], ""), source["source"]

    def send(count: int) -> int:
        batch = [{"type": "track", "userId": "u", "n": number} for number in range(count)]
        return httpx.post(f"{platform.ingest_url}/v1/batch", json={"batch": batch}, auth=auth, timeout=20).status_code

    within(WITHIN_S, lambda: send(0) == 200)
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
    assert send(7) == 200
    seen, cursor = [], ""
    while True:
        params = {"source": name, "reason": "missing_name", "since": since, "limit": "3", "cursor": cursor}
        page = api.get("/v1/bad-events", params=params).json()
        seen += [json.loads(each["original"])["n"] for each in page["bad_events"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [6, 5, 4, 3, 2, 1, 0]
    assert api.get("/v1/bad-events", params={"source": name, "until": since}).json()["bad_events"] == []
    patched = {"source": name, "since": since, "patch": {"event": "Named"}}
    done = api.post("/v1/bad-events/replay", json=patched).json()
    assert (done["sent"], done["accepted"], done["bad_again"]) == (7, 7, {})


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/bad-events/0-999999999999", None, 404, "bad_event_not_found"),
        ("GET", "/v1/bad-events/nowhere", None, 404, "bad_event_not_found"),
        ("GET", "/v1/bad-events?cursor=x", None, 422, "invalid_request"),
        ("GET", "/v1/bad-events?since=yesterday", None, 422, "invalid_request"),
        ("POST", "/v1/bad-events/replay", {}, 422, "invalid_request"),
        ("POST", "/v1/bad-events/replay", {"places": ["0-1"], "source": "x"}, 422, "invalid_request"),
        ("POST", "/v1/bad-events/replay", {"reason": "x", "patch": []}, 422, "invalid_request"),
        ("POST", "/v1/sources", {"source": "A"}, 422, "invalid_request"),
        ("POST", "/v1/sources", {"source": "a", "workspace": "other"}, 422, "invalid_request"),
        ("GET", "/v1/sources/nobody", None, 404, "source_not_found"),
        ("DELETE", "/v1/sources/nobody", None, 404, "source_not_found"),
        ("PUT", "/v1/sources/nobody/tracking-plan", {}, 404, "source_not_found"),
        ("DELETE", "/v1/sources/nobody/tracking-plan", None, 404, "tracking_plan_not_found"),
    ],
)
def test_refused(api: httpx.Client, method: str, path: str, body: Any, status: int, code: str) -> None:
    answer = api.request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_another_workspace_sees_nothing(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIENCE_POSTGRES_DSN", platform.postgres_dsn)
    run, other = CliRunner(), f"w-{secrets.token_hex(6)}"
    token = run.invoke(app, ["tokens", "create", "t", "--workspace", other]).output.strip()
    narrow = run.invoke(app, ["tokens", "create", "n", "--workspace", other, "--scope", "segments:read"]).output.strip()
    httpx.post(f"{platform.ingest_url}/v1/track", json={"userId": "u"}, auth=(platform.write_key, ""), timeout=20)

    def get(path: str, key: str = token) -> httpx.Response:
        return httpx.get(f"{platform.segments_url}{path}", auth=(key, ""), timeout=30)

    mine = httpx.get(f"{platform.segments_url}/v1/bad-events?limit=1", auth=(platform.api_token, ""), timeout=30)
    [bad] = mine.json()["bad_events"]
    assert get("/v1/bad-events").json()["bad_events"] == []
    assert get(f"/v1/bad-events/{bad['place']}").status_code == 404
    assert get("/v1/sources").json()["sources"] == []
    assert get("/v1/sources/demo").status_code == 404
    order = {"places": [bad["place"]]}
    replay = httpx.post(f"{platform.segments_url}/v1/bad-events/replay", json=order, auth=(token, ""), timeout=30)
    assert replay.status_code == 404
    for path in ("/v1/sources", "/v1/bad-events"):
        assert get(path, narrow).status_code == 403
