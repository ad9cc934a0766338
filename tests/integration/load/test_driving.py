"""A scenario and the shop's generator drive the running platform: what they send arrives, and what they make goes."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from audience.adapters.kafka.reader import end_of, read_between
from audience.wire.topics import EVENTS
from load_tests.scenarios.measuring import EVENTS as EVENT_KINDS
from load_tests.scenarios.measuring import load
from local.settings import ROOT

pytestmark = pytest.mark.platform


def run(environment: str, *command: str) -> "subprocess.CompletedProcess[str]":
    python = str(ROOT / environment / "bin/python")
    return subprocess.run(  # noqa: S603  our own modules
        [python, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


def test_a_scenario_drives_and_judges(platform: Any, tmp_path: Path) -> None:
    where = ("--ingest", platform.ingest_url, "--segments", platform.segments_url)
    done = run(
        ".venv-load",
        "load_tests.scenarios",
        "smoke",
        *where,
        "--seconds",
        "8",
        "--segment-count",
        "5",
        "--report",
        str(tmp_path),
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr  # how fast this machine is, is not asked here
    told = json.loads((tmp_path / "smoke/report.json").read_text())
    names = {each["name"] for each in told["figures"]}
    assert {"smoke: Event ingestion", "smoke: Event processing", "smoke: Rule evaluations"} <= names
    found = load(tmp_path / "smoke")
    # Two seconds up from a fifth, six at the whole rate: 50 events/s and 10 requests/s.
    assert found.recording.total(EVENT_KINDS).requests == pytest.approx(7.2 * (10 + 4), abs=6)
    assert [each for each in found.canaries if not each.error]
    page = (tmp_path / "smoke/report.html").read_text()
    assert page.count("<svg") >= 4
    for secret in (platform.api_token, platform.write_key):
        assert not any(secret in file.read_text() for file in (tmp_path / "smoke").iterdir())
    headers = {"Authorization": f"Bearer {platform.api_token}"}
    with httpx.Client(base_url=platform.segments_url, headers=headers, timeout=20) as api:
        left = api.get("/v1/segments", params={"limit": 100}).json()["segments"]
    assert not [each["key"] for each in left if each["status"] == "live" and {"load", "canary"} & set(each["tags"])]


def test_a_platform_that_refuses_is_no_result(platform: Any, tmp_path: Path) -> None:
    where = ("--ingest", platform.ingest_url, "--segments", platform.segments_url, "--token", "wrong")
    done = run(".venv-load", "load_tests.scenarios", "smoke", *where, "--report", str(tmp_path))
    assert done.returncode == 2
    assert "401" in done.stdout


def test_the_shop_goes_into_the_topic(platform: Any) -> None:
    start = end_of(platform.kafka_bootstrap, EVENTS)
    asked = (
        "--events",
        "300",
        "--users",
        "50",
        "--bad",
        "0.1",
        "--run",
        "shop-test",
        "--bootstrap",
        platform.kafka_bootstrap,
    )
    done = run(".venv", "load_tests.shop", "topic", *asked)
    assert done.returncode == 0, done.stderr
    values = [
        record.value or b""
        for record in read_between(platform.kafka_bootstrap, EVENTS, start, end_of(platform.kafka_bootstrap, EVENTS))
    ]
    mine = [json.loads(value) for value in values if b'"shop-test-' in value]
    assert 240 < len(mine) < 300
    assert {each["schema"] for each in mine} == {"event/1"}
