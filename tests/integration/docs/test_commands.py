"""The commands of README.md and docs/tutorial.md do what they say, on the running platform."""

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.settings import ROOT

pytestmark = pytest.mark.platform

_FENCE = re.compile(r"^```(\w+)( skip)?\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each fenced block that is to be run."""
    found = _FENCE.findall(page.read_text(encoding="utf-8"))
    return [(language, text) for language, skip, text in found if not skip and language in ("sh", "python")]


def run(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def with_new_people(script: str, mark: str) -> str:
    """On a platform that stays, those of an earlier run have a history."""
    return re.sub(r"\b(ada|bob)\b", rf"\g<1>{mark}", script)


@pytest.fixture
def api(platform: Any) -> Any:
    headers = {"Authorization": f"Bearer {platform.api_token}"}
    with httpx.Client(base_url=platform.segments_url, headers=headers, timeout=20) as client:
        yield client
        for key in ("came-back", "came-back-soon"):
            client.delete(f"/v1/segments/{key}")


def test_tutorial(platform: Any, api: httpx.Client) -> None:
    api.delete("/v1/segments/came-back-soon")
    heredoc = "{0} - <<'PYTHON'\n{1}PYTHON\n"
    script = "\n".join(
        text if language == "sh" else "export SHOP_TOKEN\n" + heredoc.format(sys.executable, text)
        for language, text in blocks(ROOT / "docs/tutorial.md")
    )
    environment = {
        "API": platform.segments_url,
        "INGEST": platform.ingest_url,
        "AUDIENCE_POSTGRES_DSN": platform.postgres_dsn,
        "PYTHONPATH": str(ROOT / "clients/python"),
    }
    mark = secrets.token_hex(3)
    done = run(with_new_people(script, mark), environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Welcome back, ada{mark}!\nHello, bob{mark}.\n" in done.stdout
    assert re.search(rf"^ada{mark} entered at \d\d:\d\d:\d\d$", done.stdout, re.MULTILINE)


def test_readme(platform: Any, api: httpx.Client) -> None:
    api.delete("/v1/segments/came-back")
    [script] = [text for _, text in blocks(ROOT / "README.md") if "curl" in text]
    script = script.replace("http://", "").replace("localhost:8082", platform.segments_url.removeprefix("http://"))
    script = script.replace("localhost:8081", platform.ingest_url.removeprefix("http://"))
    commands = re.split(r"^(?=# )", script, flags=re.MULTILINE)
    waits = "sleep 2\n"
    done = run(waits.join(commands), {})
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"key":"came-back"' in done.stdout
    assert done.stdout.rstrip().rpartition('{"profile_id":"ada"')[2].count('"key":"came-back"') == 1


def test_the_reader_of_topics(platform: Any) -> None:
    [script] = [text for _, text in blocks(ROOT / "docs/topics.md")]
    script = script.replace("127.0.0.1:9092", platform.kafka_bootstrap).replace("timeout=10", "timeout=3")
    done = run(script, {})
    assert done.returncode == 0, done.stdout + done.stderr
