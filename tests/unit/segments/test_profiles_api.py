"""/v1/profiles as the contract has it; ids in paths; credentials; what happens while a part is away."""

import asyncio
import base64
import re
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from prometheus_client import CollectorRegistry

from audience.ports.event_log import EventLogUnavailable
from audience.ports.questions import EvaluationUnavailable, NotEvaluated
from audience.profiles.model import Membership, Profile
from audience.wire.topics import EventRecord
from services._kit.demo import DemoCredentialsPresent, token_sha256
from services.segments import explaining
from services.segments.app import segments_app
from tests.integration.contracts.profile_store import ODD_IDS, profile
from tests.unit.segments.service import OTHER_TOKEN, TOKEN, Outside, running, settings
from tests.unit.segments.test_segments_api import TIME, create, error


async def test_the_memberships_of_a_profile(api: httpx.AsyncClient, outside: Outside) -> None:
    await create(api, "vip")
    await create(api, "old", status="paused")
    since_ms = 1_700_000_000_123
    memberships = tuple(Membership(key, since_ms) for key in ("gone", "old", "vip"))
    await outside.profiles.put_many([Profile("w", "a", 1, 1, 1, segments=memberships)])
    answer = await api.get("/v1/profiles/a/segments")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Request-Id"]
    told = answer.json()
    assert TIME.fullmatch(told.pop("as_of"))
    assert told == {
        "profile_id": "a",
        "segments": [
            {"key": "old", "since": "2023-11-14T22:13:20.123Z"},
            {"key": "vip", "since": "2023-11-14T22:13:20.123Z"},
        ],
    }


async def test_an_unknown_profile_has_no_memberships(api: httpx.AsyncClient) -> None:
    told = (await api.get("/v1/profiles/nobody/segments")).json()
    assert (told["profile_id"], told["segments"]) == ("nobody", [])


@pytest.mark.parametrize("status", ["draft", "archived"])
async def test_only_live_and_paused_segments_are_shown(api: httpx.AsyncClient, outside: Outside, status: str) -> None:
    await create(api, "vip")
    await outside.profiles.put_many([profile("a", 1, "vip")])
    assert len((await api.get("/v1/profiles/a/segments")).json()["segments"]) == 1
    await api.put("/v1/segments/vip", json={"rule": {"event": "x"}, "status": status})
    assert (await api.get("/v1/profiles/a/segments")).json()["segments"] == []
    assert (await api.get("/v1/profiles/a")).json()["segments"] == []


async def test_a_profile(api: httpx.AsyncClient, outside: Outside) -> None:
    await create(api, "vip")
    await outside.profiles.put_many([profile("a", 7, "vip", "gone", email="a@example.com", n=2**70)])
    told = (await api.get("/v1/profiles/a")).json()
    assert told == {
        "profile_id": "a",
        "traits": {"email": "a@example.com", "n": 2**70},
        "computed": {"ltv": 7},
        "segments": ["vip"],
        "version": 7,
        "updated_at": "2023-11-14T22:13:20.007Z",
    }
    error(await api.get("/v1/profiles/b"), 404, "profile_not_found")
    other = {"Authorization": f"Bearer {OTHER_TOKEN}"}
    error(await api.get("/v1/profiles/a", headers=other), 404, "profile_not_found")


@pytest.mark.parametrize("profile_id", [*ODD_IDS, "%2F", "%252F", "a%", "%41", "..", ".", "a?b", "a#b", "a;b=c", "a+b"])
async def test_ids_in_paths_are_decoded_once(api: httpx.AsyncClient, outside: Outside, profile_id: str) -> None:
    await outside.profiles.put_many([profile(profile_id, 1)])
    quoted = quote(profile_id, safe="").replace(".", "%2E")
    assert (await api.get(f"/v1/profiles/{quoted}")).json()["profile_id"] == profile_id
    assert (await api.get(f"/v1/profiles/{quoted}/segments")).json()["profile_id"] == profile_id
    await create(api, "vip")
    explained = await api.get(f"/v1/profiles/{quoted}/explain/vip")
    assert explained.json()["profile_id"] == profile_id


async def test_ids_that_are_no_text(api: httpx.AsyncClient) -> None:
    error(await api.get("/v1/profiles/%FF/segments"), 422, "invalid_request")
    error(await api.get("/v1/profiles/%FF"), 422, "invalid_request")


async def test_paths_that_lead_nowhere(api: httpx.AsyncClient) -> None:
    for path in ("/v1/profiles//segments", "/v1/profiles/", "/v1", "/", "/v1/profiles/a/b/segments", "/v1/segments/"):
        error(await api.get(path), 404, "not_found")
    error(await api.post("/v1/profiles/a/segments"), 405, "method_not_allowed")


OPEN = ["/healthz", "/readyz", "/metrics", "/openapi.json"]
CLOSED = ["/v1/segments", "/v1/segments/vip", "/v1/profiles/a", "/v1/profiles/a/segments", "/v1/none", "/", "/v1/%2e"]
BASIC = base64.b64encode(f"{TOKEN}:".encode()).decode()


@pytest.mark.parametrize("path", OPEN)
async def test_open_to_all(api: httpx.AsyncClient, path: str) -> None:
    del api.headers["Authorization"]
    assert (await api.get(path)).status_code == 200


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Bearer ", "Bearer wrong", f"bearer{TOKEN}", TOKEN, f"Token {TOKEN}", "Basic !!!",
        f"Basic {base64.b64encode(b'wrong:').decode()}", f"Basic {base64.b64encode(f':{TOKEN}'.encode()).decode()}",
        "Bearer " + "x" * 10_000,
    ],
)  # fmt: skip
async def test_without_the_right_token_nothing_opens(api: httpx.AsyncClient, path: str, header: str | None) -> None:
    del api.headers["Authorization"]
    answer = await api.get(path, headers={} if header is None else {"Authorization": header})
    error(answer, 401, "unauthorized")
    assert "Bearer" in answer.headers["WWW-Authenticate"]
    assert TOKEN not in answer.text


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer  {TOKEN} ", f"Basic {BASIC}", f"BASIC {BASIC}"])
async def test_forms_of_the_token(api: httpx.AsyncClient, header: str) -> None:
    for path in ("/v1/segments", "/v1/profiles/a/segments"):
        assert (await api.get(path, headers={"Authorization": header})).status_code == 200


async def test_credentials_are_looked_at_before_the_body(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/segments", content=b"{", headers={"Authorization": "Bearer wrong"})
    error(answer, 401, "unauthorized")


async def test_a_request_id_of_the_client_comes_back(api: httpx.AsyncClient) -> None:
    for path in ("/v1/profiles/a/segments", "/v1/profiles/a", "/v1/segments"):
        assert (await api.get(path, headers={"Request-Id": "mine-1"})).headers["Request-Id"] == "mine-1"
        assert (await api.get(path, headers={"Request-Id": "a\tb"})).headers["Request-Id"] != "a\tb"
    refused = await api.get("/v1/segments", headers={"Request-Id": "mine-2", "Authorization": "x"})
    assert refused.json()["request_id"] == "mine-2"


async def test_reads_outlive_the_database(api: httpx.AsyncClient, outside: Outside) -> None:
    """The profile store may be another one; a token and a catalog that were known go on serving."""
    await create(api, "vip")
    await outside.profiles.put_many([profile("a", 1, "vip")])
    assert (await api.get("/v1/profiles/a/segments")).status_code == 200
    outside.catalog.away = outside.tokens.away = True
    assert len((await api.get("/v1/profiles/a/segments")).json()["segments"]) == 1


async def test_the_profile_store_away(api: httpx.AsyncClient, outside: Outside) -> None:
    outside.profiles.away = True
    for path in ("/v1/profiles/a/segments", "/v1/profiles/a", "/v1/profiles/a/explain/vip"):
        answer = await api.get(path)
        error(answer, 503, "unavailable")
        assert answer.headers["Retry-After"].isdigit()
    assert (await api.get("/readyz")).status_code == 503


async def test_a_store_that_hangs_is_given_up_in_time(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: Any) -> Any:
        await asyncio.sleep(60)

    monkeypatch.setattr(outside.profiles, "memberships", hang)
    async with running(outside, read_timeout_s=0.2) as api, asyncio.timeout(3):
        answers = await asyncio.gather(*(api.get(f"/v1/profiles/{number}/segments") for number in range(600)))
        for answer in answers:
            error(answer, 503, "unavailable")


async def test_a_fault_of_ours_is_500_and_says_nothing(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(outside.profiles, "memberships", fail)
    monkeypatch.setattr(outside.profiles, "get_many", fail)
    async with running(outside) as api:
        for path in ("/v1/profiles/a/segments", "/v1/profiles/a"):
            answer = await api.get(path)
            assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
            assert "secret" not in answer.text


async def test_production_refuses_the_demo_token(outside: Outside) -> None:
    outside.tokens.tokens[token_sha256("demo-api-token")] = "w"
    service = segments_app(settings(environment="production"), CollectorRegistry(), outside.open)
    with pytest.raises(DemoCredentialsPresent, match="API token of workspace 'w'"):
        async with service.api.router.lifespan_context(service.api):
            pass


async def test_metrics_hold_templates_and_no_ids(api: httpx.AsyncClient) -> None:
    await api.get("/v1/profiles/secret-person/segments")
    await api.get("/v1/profiles/secret-person")
    await api.get("/v1/nowhere/secret-person")
    text = (await api.get("/metrics")).text
    assert "secret-person" not in text
    for route, status in (
        ("/v1/profiles/{profile_id}/segments", 200),
        ("/v1/profiles/{profile_id}", 404),
        ("unmatched", 404),
    ):
        assert f'segments_request_seconds_count{{route="{route}",status="{status}"}} 1.0' in text


async def test_openapi_tells_the_hottest_route_and_the_errors(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    hot = document["paths"]["/v1/profiles/{profile_id}/segments"]["get"]["responses"]
    assert hot["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Memberships")
    assert set(document["paths"]["/v1/segments"]["post"]["responses"]) >= {"201", "400", "401", "409", "422", "503"}
    names = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert names <= set(document["components"]["schemas"])
    assert {"bearer", "basic"} == {each["scheme"] for each in document["components"]["securitySchemes"].values()}


# explain


def event(number: int, name: str = "Order Completed") -> EventRecord:
    return EventRecord(
        workspace="w", source="s", profile_id="a", message_id=f"m{number}", type="track", name=name,
        time_ms=1_767_000_000_000 + number, received_ms=1_767_000_000_000 + number,
    )  # fmt: skip


@pytest.fixture
async def known(api: httpx.AsyncClient, outside: Outside) -> httpx.AsyncClient:
    await create(api, "vip")
    await outside.profiles.put_many([profile("a", 1, "vip")])
    return api


async def test_explain(known: httpx.AsyncClient, outside: Outside) -> None:
    outside.history.events = [event(number) for number in range(12)] + [event(99, "Other")]
    told = (await known.get("/v1/profiles/a/explain/vip")).json()
    assert {key: told[key] for key in ("profile_id", "segment", "version", "member")} == {
        "profile_id": "a", "segment": "vip", "version": 1, "member": True,
    }  # fmt: skip
    tree = told["tree"]
    assert (tree["path"], tree["truth"], tree["value"]) == ("", True, 2)
    assert [each["message_id"] for each in tree["events"]] == [f"m{number}" for number in range(11, 1, -1)]
    assert tree["events"][0] == {
        "message_id": "m11", "timestamp": "2025-12-29T09:20:00.011Z", "type": "track", "event": "Order Completed",
    }  # fmt: skip


async def test_explain_what_is_not_there(known: httpx.AsyncClient, outside: Outside) -> None:
    error(await known.get("/v1/profiles/nobody/explain/vip"), 404, "profile_not_found")
    error(await known.get("/v1/profiles/a/explain/none"), 404, "segment_not_found")
    await create(known, "later", status="draft")
    error(await known.get("/v1/profiles/a/explain/later"), 404, "segment_not_found")
    assert outside.explainer.asked == 0


async def test_the_job_is_asked_again_until_it_knows_the_segment(known: httpx.AsyncClient, outside: Outside) -> None:
    outside.explainer.faults = [NotEvaluated("segment_not_found")] * 2
    assert (await known.get("/v1/profiles/a/explain/vip")).status_code == 200
    assert outside.explainer.asked == 3


async def test_a_job_that_never_learns(
    known: httpx.AsyncClient, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "ASK_FOR_S", 0.0)
    outside.explainer.faults = [NotEvaluated("segment_not_found")]
    error(await known.get("/v1/profiles/a/explain/vip"), 503, "unavailable")
    outside.explainer.faults = [NotEvaluated("profile_not_found")]
    error(await known.get("/v1/profiles/a/explain/vip"), 404, "profile_not_found")


@pytest.mark.parametrize("fault", [EvaluationUnavailable("no answer"), EventLogUnavailable("Kafka")])
async def test_the_job_away(known: httpx.AsyncClient, outside: Outside, fault: Exception) -> None:
    outside.explainer.faults = [fault]
    answer = await known.get("/v1/profiles/a/explain/vip")
    error(answer, 503, "unavailable")
    assert answer.headers["Retry-After"].isdigit()


async def test_a_history_that_cannot_be_read_leaves_an_explanation(known: httpx.AsyncClient, outside: Outside) -> None:
    outside.history.away = True
    told = (await known.get("/v1/profiles/a/explain/vip")).json()
    assert "events" not in told["tree"]
    assert "segments_explanations_without_events_total 1.0" in (await known.get("/metrics")).text


async def test_an_explanation_of_another_version_has_no_events(known: httpx.AsyncClient, outside: Outside) -> None:
    outside.explainer.version = 7
    outside.history.events = [event(1)]
    assert "events" not in (await known.get("/v1/profiles/a/explain/vip")).json()["tree"]


@pytest.mark.parametrize(("within", "said"), [({}, True), ({"within": "365d"}, False)])
async def test_an_explanation_says_where_the_kept_events_begin(
    outside: Outside, within: dict[str, str], said: bool
) -> None:
    """A profile older than the retention, and a rule that asks for more of it than is kept."""
    async with running(outside, lake_retention_days=400) as api:
        await create(api, "vip", rule={"event": "Order Completed", **within})
        await outside.profiles.put_many([replace(profile("a", 2, "vip"), created_ms=1)])
        told = (await api.get("/v1/profiles/a/explain/vip")).json()
        assert ("events_from" in told) is said
        if said:
            as_of, begin = (datetime.fromisoformat(told[each]) for each in ("as_of", "events_from"))
            assert timedelta(days=400) <= as_of - begin < timedelta(days=401)
        await outside.profiles.put_many([replace(profile("b", 1, "vip"), created_ms=int(time.time() * 1000))])
        assert "events_from" not in (await api.get("/v1/profiles/b/explain/vip")).json()
