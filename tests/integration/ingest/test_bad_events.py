"""`audience-ops bad-events` on a running platform: found, shown, repaired, and counted once."""

import json
import uuid
from collections.abc import Iterator

import httpx
import pytest
from typer.testing import CliRunner

from audience.wire.topics import EventRecord
from services.operations.__main__ import app
from tests.integration.ingest.topics import Platform, Topics

pytestmark = pytest.mark.platform


@pytest.fixture(autouse=True)
def _environment(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIENCE_POSTGRES_DSN", platform.postgres_dsn)
    monkeypatch.setenv("AUDIENCE_KAFKA_BOOTSTRAP_SERVERS", platform.kafka_bootstrap)
    monkeypatch.setenv("AUDIENCE_INGEST_URL", platform.ingest_url)


@pytest.fixture
def http(platform: Platform) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=platform.ingest_url, auth=(platform.write_key, ""), timeout=20) as client:
        yield client


def operate(*command: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["bad-events", *command])
    assert result.exit_code == code, result.output
    return result.output.strip()


def test_from_a_bad_event_to_an_accepted_one(platform: Platform, http: httpx.Client) -> None:
    topics, user = Topics(platform.kafka_bootstrap), f"bad-{uuid.uuid4().hex}"
    batch = {
        "context": {"page": {"path": "/cart"}},
        "sentAt": "2026-01-31T10:00:00Z",
        "batch": [
            {"type": "track", "userId": user, "timestamp": "2026-01-31T09:00:00Z"},
            {"type": "track", "userId": user, "event": "Fine"},
            {"type": "track", "userId": user, "event": 5},
        ],
    }
    assert http.post("/v1/batch", json=batch).status_code == 200
    assert http.post("/v1/track", json={"userId": user}).status_code == 200

    nameless = lines_of(user)
    places = [line[0] for line in nameless]
    assert [line[2:5] for line in nameless] == [["demo", "demo", "missing_name"]] * 2
    assert "demo\tdemo\twrong_type\t" in operate("list", "--counts", "--source", "demo")
    assert operate("list", "--source", "nobody") == ""

    shown = json.loads(operate("show", places[0]))
    assert json.loads(shown["original"])["userId"] == user
    assert shown["request"]["context"] == {"page": {"path": "/cart"}}

    patch = ("--patch", '{"event": "Repaired"}')
    planned = [json.loads(line) for line in operate("replay", *places, *patch, "--dry-run").splitlines()]
    assert [each["event"] for each in planned] == ["Repaired"] * 2

    # Sent again as they are, they are bad again, at new places; the old ones are done with.
    assert operate("replay", *places).splitlines() == ["sent again: 2; accepted: 0", "2 bad again: missing_name"]
    newer = [line[0] for line in lines_of(user)[2:]]
    assert len(newer) == 2
    assert operate("replay", *newer, *patch) == "sent again: 2; accepted: 2"
    told = operate("replay", *places, *newer, *patch).splitlines()
    assert told == ["sent again: 0; accepted: 0", "4 not sent: it was sent again already"]
    assert operate("replay", newer[0], *patch, "--again") == "sent again: 1; accepted: 1"

    events = [event for event in topics.events_of(user) if event.name == "Repaired"]
    assert len(events) == 3
    assert {event.message_id for event in events} == {f"replay-{place}" for place in places}  # so two of them count
    by_path = {bool(event.context): event for event in events}
    assert by_path[True].context == {"page": {"path": "/cart"}}
    assert by_path[True].time_ms == by_path[True].received_ms - 3_600_000 - age_ms(by_path[True], shown["received_ms"])
    assert by_path[False].time_ms < by_path[False].received_ms


def lines_of(user: str) -> list[list[str]]:
    """The user's events without a name, in the order of the topic."""
    listed = operate("list", "--reason", "missing_name", "--since", "5m", "--limit", "1000")
    return [line.split("\t") for line in listed.splitlines() if user in line]


def age_ms(event: EventRecord, first_received_ms: int) -> int:
    """How long after its first coming it was received again."""
    return event.received_ms - first_received_ms


def test_places_that_are_none() -> None:
    assert "is no place" in operate("show", "x", code=1)
    assert "there is nothing at" in operate("show", "0-999999999", code=1)
    assert "name places" in operate("replay", code=1)
    assert "--patch" in operate("replay", "0-0", "--patch", "[]", code=1)
    assert operate("list", "--since", "soon", code=2)
