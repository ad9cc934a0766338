"""The archive follows the log, through the broker's end too."""

import httpx
import pytest

from local import lag
from tests.integration.local.running import LocalPlatform, wait_until


def archived(platform: LocalPlatform) -> bool:
    try:
        return lag.by_group(platform.kafka_bootstrap)["archive"] == 0
    except lag.LagUnknown:
        return False


def sent(platform: LocalPlatform, user: str) -> bool:
    event = {"userId": user, "event": "Archived"}
    try:
        answer = httpx.post(
            f"{platform.ingest_url}/v1/track", json=event, auth=(platform.write_key, ""), timeout=20, trust_env=False
        )
    except httpx.HTTPError:
        return False
    return answer.status_code == 200


@pytest.mark.parametrize("number", [1, 2])
def test_the_archive_goes_on_after_the_broker_was_killed(platform: LocalPlatform, number: int) -> None:
    wait_until("everything is archived", lambda: archived(platform), within_s=120)
    killed = platform.kill("kafka")
    wait_until("the broker is back", lambda: platform.programs()["kafka"].pid not in (0, killed))
    wait_until("an event is taken", lambda: sent(platform, f"archived-{number}"), within_s=60)
    wait_until("it is archived", lambda: archived(platform), within_s=120)
