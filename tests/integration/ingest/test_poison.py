"""Ten thousand hostile requests to a running platform: no 5xx, no restart, and of every event exactly one record.

What is refused has its right status and leaves no trace; what is answered with 200 is in `events` or, with a reason and
its bytes, in `events.bad`. Those of `events.bad` that can be repaired are accepted when they are sent again.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from typer.testing import CliRunner

from audience.adapters.kafka.reader import end_of, places_between
from audience.wire.topics import EVENTS, EVENTS_BAD, decode_bad_event, decode_event
from services.operations.__main__ import app
from tests.integration.local.running import LocalPlatform
from tests.unit.ingest.poison import Poison, poisons

pytestmark = pytest.mark.platform

COUNT = 10_000
LINES = 4
REPAIRED = 25


def send(platform: LocalPlatform, part: list[Poison]) -> tuple[Counter[int], int]:
    """The statuses, and how many events were in what was answered with 200, where that is known."""
    statuses: Counter[int] = Counter()
    events = 0
    with httpx.Client(base_url=platform.ingest_url, timeout=60) as http:
        for poison in part:
            answer = http.post(poison.path, content=poison.body, headers=poison.headers)
            statuses[answer.status_code] += 1
            assert answer.status_code in {200, 400, 401, 413}, (answer.status_code, poison.path, poison.body[:300])
            told = answer.json()
            assert told == {"success": True} if answer.status_code == 200 else {"code", "message"} <= set(told)
            if answer.status_code == 200 and poison.events is not None:
                events += poison.events
    return statuses, events


@pytest.mark.timeout(300)
def test_ten_thousand_poison_inputs(platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = list(poisons(COUNT, seed=7))
    bootstrap, before = platform.kafka_bootstrap, platform.programs()["ingest-api"].pid
    starts = {topic: end_of(bootstrap, topic) for topic in (EVENTS, EVENTS_BAD)}
    with ThreadPoolExecutor(LINES) as threads:
        outcomes = list(threads.map(lambda part: send(platform, part), (inputs[at::LINES] for at in range(LINES))))
    statuses = sum((each for each, _ in outcomes), Counter[int]())
    assert set(statuses) == {200, 400, 401, 413}
    assert platform.programs()["ingest-api"].pid == before

    found = {
        topic: list(places_between(bootstrap, topic, start, end_of(bootstrap, topic)))
        for topic, start in starts.items()
    }
    accepted = [decode_event(each.record.value or b"") for each in found[EVENTS]]
    bad = [(each, decode_bad_event(each.record.value or b"")) for each in found[EVENTS_BAD]]
    assert len(accepted) + len(bad) >= sum(events for _, events in outcomes) > COUNT
    assert all(event.profile_id and event.message_id for event in accepted)
    bodies = [poison.body for poison in inputs]
    for _, each in bad[:: max(1, len(bad) // 30)]:
        assert each.code
        assert each.message
        assert any(each.original in body for body in bodies)

    # A track event without an id is mended by giving it one.
    monkeypatch.setenv("AUDIENCE_POSTGRES_DSN", platform.postgres_dsn)
    monkeypatch.setenv("AUDIENCE_KAFKA_BOOTSTRAP_SERVERS", bootstrap)
    monkeypatch.setenv("AUDIENCE_INGEST_URL", platform.ingest_url)
    mendable = [
        f"{place.partition}-{place.offset}"
        for place, each in bad
        if each.code == "wrong_type" and each.path in {"/event", "/properties", "/traits", "/context", "/timestamp"}
    ][:REPAIRED]
    assert len(mendable) == REPAIRED
    patch = (
        '{"type": "track", "event": "Mended", "userId": "mended", "anonymousId": null, "messageId": null, "name": null,'
        '"properties": null, "traits": null, "context": null, "integrations": null, "timestamp": null,'
        '"originalTimestamp": null, "sentAt": null, "previousId": null, "groupId": null}'
    )
    told = CliRunner().invoke(app, ["bad-events", "replay", *mendable, "--patch", patch])
    first, *others = told.output.splitlines()
    sent = int(first.split(";")[0].removeprefix("sent again: "))
    assert first == f"sent again: {sent}; accepted: {sent}"
    assert sent > REPAIRED // 2
    assert all(" not sent: " in line for line in others)  # what no JSON parser can read is not mended by a patch
