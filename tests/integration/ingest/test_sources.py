"""Sources come and go while ingest-api runs: by `audience-ops`, in effect within 5 s."""

import secrets
import time
from collections.abc import Iterator

import httpx
import pytest
from typer.testing import CliRunner

from services.operations.__main__ import app
from tests.integration.ingest.topics import Platform

pytestmark = pytest.mark.platform

WITHIN_S = 5
EVENT = {"userId": "u1", "event": "Seen"}


@pytest.fixture
def http(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    monkeypatch.setenv("AUDIENCE_POSTGRES_DSN", platform.postgres_dsn)
    with httpx.Client(base_url=platform.ingest_url, timeout=20) as client:
        yield client


def operate(*command: str) -> str:
    result = CliRunner().invoke(app, list(command))
    assert result.exit_code == 0, result.output
    return result.output.strip()


def status_within(http: httpx.Client, key: str, status: int) -> None:
    until_s = time.monotonic() + WITHIN_S
    while (answer := http.post("/v1/track", json=EVENT, auth=(key, ""))).status_code != status:
        assert time.monotonic() < until_s, f"{answer.status_code} still, after {WITHIN_S} s"
        time.sleep(0.1)


def test_a_source_is_created_and_revoked(http: httpx.Client) -> None:
    source = f"test-{secrets.token_hex(6)}"
    key = operate("sources", "create", source, "--kind", "mobile")
    status_within(http, key, 200)
    operate("sources", "revoke", source)
    status_within(http, key, 401)


def test_a_source_has_a_limit_of_its_own(http: httpx.Client) -> None:
    key = operate("sources", "create", f"test-{secrets.token_hex(6)}", "--events-per-s", "100")
    status_within(http, key, 200)
    batch = {"batch": [{"type": "track", **EVENT}] * 500}
    assert http.post("/v1/batch", json=batch, auth=(key, "")).status_code == 200
    refused = http.post("/v1/batch", json=batch, auth=(key, ""))
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 6
