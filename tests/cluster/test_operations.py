"""`audience-ops cluster` against a real API server, with the operators' part played by the test: no operator runs."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import yaml

from local.cluster.prepare import prepare
from local.settings import ROOT
from tests.cluster.conftest import helm, kubectl

NAMESPACE = "audience-manager-prod"
OVERLAY = str(ROOT / "overlays/production/values.yaml")
CHART = str(ROOT / "helm/audience-manager")
KINDS = ("FlinkDeployment", "Cluster")
SECOND = "cluster.postgresql.cnpg.io/postgres-restore"


@pytest.fixture(scope="module")
def resources(pretended: None) -> Iterator[None]:
    """The resources that the commands look at, as the chart renders them."""
    text = helm("template", "audience-manager", CHART, "--namespace", NAMESPACE, "--values", OVERLAY)
    kept = yaml.safe_dump_all([each for each in yaml.safe_load_all(text) if each and each["kind"] in KINDS])
    prepare()
    kubectl("-n", NAMESPACE, "apply", "--filename", "-", given=kept)
    yield
    kubectl("-n", NAMESPACE, "delete", "--filename", "-", given=kept)


def operations(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "services.operations", "cluster", *arguments, "-n", NAMESPACE],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def seen(resource: str) -> Any:
    """The resource; nothing where it is not there."""
    found = kubectl("-n", NAMESPACE, "get", resource, "-o", "json", check=False)
    return json.loads(found) if found else None


def tell(resource: str, status: Mapping[str, Any]) -> None:
    """What an operator would write of it."""
    patch = json.dumps({"status": status})
    kubectl("-n", NAMESPACE, "patch", resource, "--subresource=status", "--type=merge", "--patch", patch)


def meanwhile(resource: str, true: Callable[[Any], bool], then: Callable[[Any], None]) -> threading.Thread:
    """Play the operator: when a resource is so, do this."""

    def play() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if (found := seen(resource)) is not None and true(found):
                then(found)
                return
            time.sleep(0.5)

    thread = threading.Thread(target=play)
    thread.start()
    return thread


def test_the_job_is_rescaled_by_its_operator(resources: None) -> None:
    job = "flinkdeployment/flink"

    def runs(found: Any) -> None:
        tell(job, {
            "observedGeneration": found["metadata"]["generation"], "jobStatus": {"state": "RUNNING"},
            "reconciliationStatus": {"state": "DEPLOYED"},
        })  # fmt: skip

    operator = meanwhile(job, lambda found: found["spec"]["job"]["parallelism"] == 96, runs)
    done = operations("rescale", "96")
    operator.join()
    assert done.returncode == 0, done.stderr
    assert seen(job)["spec"]["job"]["parallelism"] == 96
    refused = operations("rescale", "50")
    assert refused.returncode == 1
    assert "8 slots" in refused.stderr
    assert seen(job)["spec"]["job"]["parallelism"] == 96


def test_status_says_whether_all_is_well(resources: None) -> None:
    done = operations("status")
    assert done.returncode == 1  # no pod is there
    assert "The job is" in done.stdout


def test_postgres_is_brought_back_to_a_moment(resources: None) -> None:
    made: list[Any] = []

    def answers(found: Any) -> None:
        made.append(found)
        tell(SECOND, {"readyInstances": 1})

    operator = meanwhile(SECOND, lambda _: True, answers)
    done = operations("restore", "--at", "2026-03-01T02:00:00Z", "--yes", "--within", "90")
    operator.join()
    assert done.returncode == 0, done.stderr
    [second] = made
    live = seen("cluster.postgresql.cnpg.io/postgres")["spec"]
    recovery = second["spec"]["bootstrap"]["recovery"]
    assert (recovery["recoveryTarget"], recovery["source"]) == ({"targetTime": "2026-03-01T02:00:00Z"}, "before")
    [source] = second["spec"]["externalClusters"]
    assert source["barmanObjectStore"]["destinationPath"] == live["backup"]["barmanObjectStore"]["destinationPath"]
    assert second["spec"]["instances"] == 1
    # Nothing of it stays.
    assert seen(SECOND) is None
    assert seen("job/postgres-restore") is None


def test_a_restore_that_is_under_way_is_not_begun_again(resources: None) -> None:
    second = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "postgres-restore"}, "spec": {
        "suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [
            {"name": "restore", "image": "nothing:1", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
        ]}},
    }}  # fmt: skip
    kubectl("-n", NAMESPACE, "create", "--filename", "-", given=json.dumps(second))
    try:
        done = operations("restore", "--yes")
        assert done.returncode == 1
        assert "another restore" in done.stderr
        assert seen(SECOND) is None
    finally:
        kubectl("-n", NAMESPACE, "delete", "job/postgres-restore")
