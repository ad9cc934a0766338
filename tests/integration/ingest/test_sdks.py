"""The published SDKs, unmodified, against a running platform: what they send is there once, and counts.

Each sends one sequence (tests/sdks): who the user is, many orders, and one call of each other kind.
"""

import json
import os
import secrets
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from local.settings import ROOT
from tests.integration.ingest.topics import Platform, Topics

pytestmark = pytest.mark.platform

ORDERS = 45
"""More than one batch of any SDK but the oldest, whose batches hold a hundred."""

HERE = ROOT / "tests/sdks"
WITHIN_S = 90


@dataclass(frozen=True, slots=True)
class Sdk:
    """A program that sends the sequence; `library` is what it calls itself, `path` a folder of Python packages."""

    library: str
    version: str
    program: str
    path: str = ""
    more: tuple[str, ...] = ()

    def command(self, platform: Platform, user: str) -> list[str]:
        runs = [sys.executable] if self.program.endswith(".py") else ["node"]
        given = [platform.ingest_url, platform.write_key, user, str(ORDERS), *self.more]
        return [*runs, str(HERE / self.program), *given]


SDKS = (
    Sdk("analytics-python", "2.4.0", "segment_python.py"),
    Sdk("analytics-python", "2.3.4", "segment_python.py", "segment-2.3.4"),
    Sdk("analytics-python", "2.1.9", "rudder_python.py", "rudder"),
    Sdk("@segment/analytics-node", "3.1.0", "segment_node.mjs"),
    Sdk("analytics-node", "3.0.13", "rudder_node.mjs"),
    Sdk("analytics.js", "next-1.84.3", "browser.mjs"),
    Sdk("analytics.js", "next-1.84.3", "browser.mjs", more=("batching",)),
)


@pytest.fixture(scope="module")
def buyers(platform: Platform) -> Iterator[str]:
    """The key of a segment: the plan is pro, and there are just as many orders as were sent."""
    key = f"sdk-{secrets.token_hex(6)}"
    orders = {"event": "Order Completed", "is": {"eq": ORDERS}}
    rule = {"all": [{"trait": "plan", "op": "eq", "value": "pro"}, orders]}
    headers = {"Authorization": f"Bearer {platform.api_token}"}
    with httpx.Client(base_url=platform.segments_url, headers=headers, timeout=20) as api:
        answer = api.post("/v1/segments", json={"key": key, "rule": rule, "status": "live"})
        assert answer.status_code == 201, answer.text
        yield key
        api.delete(f"/v1/segments/{key}")


@pytest.mark.timeout(2 * WITHIN_S)
@pytest.mark.parametrize("sdk", SDKS, ids=lambda sdk: " ".join((sdk.program, sdk.version, *sdk.more)))
def test_sdk(platform: Platform, buyers: str, sdk: Sdk) -> None:
    topics, user = Topics(platform.kafka_bootstrap), f"sdk-{uuid.uuid4().hex}"
    said = send(sdk, platform, user)

    events = topics.events_of(user)
    assert Counter(event.type for event in events) == {
        "identify": 1, "track": ORDERS, "page": 1, "screen": 1, "group": 1, "alias": 1,
    }, said  # fmt: skip
    assert topics.bad_with(user) == []
    assert len({event.message_id for event in events}) == len(events)
    by_type = {event.type: event for event in events}
    assert by_type["identify"].traits | by_type["identify"].context.get("traits", {}) == {"plan": "pro", "logins": 3}
    totals = sorted(event.properties["total"] for event in events if event.type == "track")
    assert totals == [number + 0.5 for number in range(ORDERS)]
    assert (by_type["page"].name, by_type["screen"].name) == ("Cart", "Home")
    assert by_type["page"].properties["path"] == "/cart"
    assert by_type["group"].group_id == "g1"
    assert by_type["alias"].previous_id == "before"
    for event in events:
        library = event.context["library"]
        assert (library["name"], library["version"]) == (sdk.library, sdk.version)
        assert event.received_ms - 60_000 < event.time_ms <= event.received_ms
        assert event.profile_id == user
    assert_member(platform, user, buyers)


def send(sdk: Sdk, platform: Platform, user: str) -> str:
    """Run the SDK's program to its end; what it said. Fails where the SDK tells of a failure."""
    environment = dict(os.environ)
    if sdk.path:
        environment["PYTHONPATH"] = str(ROOT / ".tools/sdks" / sdk.path)
    done = subprocess.run(  # noqa: S603
        sdk.command(platform, user), env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if sdk.program == "browser.mjs":
        told = json.loads(done.stdout)
        assert told["said"] == ["sent"]
        asked = {
            line.split()[1].removeprefix(platform.ingest_url) for line in told["answers"] if platform.ingest_url in line
        }
        posts = {"/v1/b"} if sdk.more else {f"/v1/{each}" for each in "itpsga"}
        assert asked == {f"/v1/projects/{platform.write_key}/settings", *posts}
    return done.stdout + done.stderr


def assert_member(platform: Platform, user: str, segment: str, within_s: float = 20) -> None:
    """The user comes into the segment, and is in it still when all that was sent has been evaluated."""
    headers = {"Authorization": f"Bearer {platform.api_token}"}
    with httpx.Client(base_url=platform.segments_url, headers=headers, timeout=20) as api:

        def segments() -> list[str]:
            return [each["key"] for each in api.get(f"/v1/profiles/{user}/segments").json()["segments"]]

        until_s = time.monotonic() + within_s
        while segment not in segments():
            assert time.monotonic() < until_s, f"{user} never entered {segment}"
            time.sleep(0.05)
        time.sleep(0.5)
        assert segment in segments()
