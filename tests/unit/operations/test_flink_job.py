"""`audience-ops job` against what Flink's REST interface says (Flink 2.2, REST API v1)."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from services.operations import flink_job
from services.operations.__main__ import app
from services.operations.flink_job import Flink, FlinkAway, NotTaken

RUNNING = {"jid": "abc", "name": "rule_evaluation", "state": "RUNNING"}


class Cluster:
    """A JobManager that takes a savepoint in `looks` looks."""

    def __init__(self, jobs: list[dict[str, Any]], looks: int = 2, failure: str = "", faults: int = 0) -> None:
        self.jobs = jobs
        self.looks = looks
        self.failure = failure
        self.faults = faults
        self.orders: list[tuple[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "POST":
            self.orders.append((path, json.loads(request.content)))
            return httpx.Response(202, json={"request-id": "t1"})
        if self.faults:
            self.faults -= 1
            return httpx.Response(503, text="not yet")
        if path == "/jobs/overview":
            return httpx.Response(200, json={"jobs": self.jobs})
        if path == "/jobs/abc/savepoints/t1":
            return httpx.Response(200, json=self._savepoint())
        return httpx.Response(200, json={"state": "FINISHED"})

    def _savepoint(self) -> dict[str, Any]:
        self.looks -= 1
        if self.looks > 0:
            return {"status": {"id": "IN_PROGRESS"}, "operation": None}
        if self.failure:
            return {"status": {"id": "COMPLETED"}, "operation": {"failure-cause": {"stack-trace": self.failure}}}
        return {"status": {"id": "COMPLETED"}, "operation": {"location": "file:/s/savepoint-1"}}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("AUDIENCE_POSTGRES_DSN", "postgresql://u:p@127.0.0.1:1/x")
    monkeypatch.setattr(flink_job, "_LOOK_EVERY_S", 0.01)

    def run(cluster: Cluster, *arguments: str) -> Any:
        monkeypatch.setattr(flink_job, "Flink", lambda address: Flink(address, httpx.MockTransport(cluster)))
        return CliRunner().invoke(app, ["job", *arguments])

    return run


def test_a_savepoint_is_asked_for_and_waited_for(command: Callable[..., Any]) -> None:
    cluster = Cluster([RUNNING])
    done = command(cluster, "savepoint", "--to", "file:/s", "--format", "NATIVE")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("file:/s/savepoint-1\t")
    [(path, body)] = cluster.orders
    assert path == "/jobs/abc/savepoints"
    assert body == {"formatType": "NATIVE", "target-directory": "file:/s", "cancel-job": False}


def test_a_job_is_stopped_with_one(command: Callable[..., Any]) -> None:
    cluster = Cluster([{**RUNNING, "jid": "old", "state": "FINISHED"}, RUNNING])
    assert command(cluster, "stop").exit_code == 0
    assert cluster.orders == [("/jobs/abc/stop", {"formatType": "CANONICAL", "drain": False})]


def test_without_a_running_job_nothing_is_ordered(command: Callable[..., Any]) -> None:
    cluster = Cluster([{**RUNNING, "state": "FAILED"}])
    done = command(cluster, "stop")
    assert (done.exit_code, cluster.orders) == (1, [])
    assert "no job rule_evaluation runs (FAILED)" in done.output


def test_why_flink_took_none_is_said(command: Callable[..., Any]) -> None:
    trace = "java.util.Exception: it failed\n\tat x.Y\nCaused by: java.io.IOException: no space left\n\tat z"
    done = command(Cluster([RUNNING], failure=trace), "savepoint")
    assert done.exit_code == 1
    assert "Caused by: java.io.IOException: no space left" in done.output


def test_one_that_takes_too_long_is_not_waited_for(command: Callable[..., Any]) -> None:
    done = command(Cluster([RUNNING], looks=10_000), "savepoint", "--within", "1")
    assert done.exit_code == 1
    assert "no savepoint within 1 s" in done.output


def test_a_question_is_asked_again_and_an_order_is_not() -> None:
    cluster = Cluster([RUNNING], faults=2)
    assert Flink("http://flink", httpx.MockTransport(cluster)).job_id("rule_evaluation") == "abc"

    def refuse(request: httpx.Request) -> httpx.Response:
        orders.append(request.method)
        return httpx.Response(500, text="no")

    orders: list[str] = []
    flink = Flink("http://flink", httpx.MockTransport(refuse))
    with pytest.raises(FlinkAway, match="500"):
        flink.savepoint("abc", None, "CANONICAL", 1, stop=True)
    assert orders == ["POST"]


def test_a_job_that_does_not_end_is_told() -> None:
    flink = Flink("http://flink", httpx.MockTransport(lambda _: httpx.Response(200, json={"state": "RUNNING"})))
    with pytest.raises(NotTaken, match="did not end"):
        flink.wait_until_ended("abc", 0.01)
