"""The demo on a real node: from nothing to the segments, an upgrade and kills under load, and nothing left behind."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from local.settings import ROOT
from tests.cluster.conftest import NAMESPACE, Demo, found, helm, kubectl, values_files
from tests.faults.trial import Rules, Trial, while_sending

CHART = str(ROOT / "helm/audience-manager")
PARTS = (
    ("ingest-api", "ingest-api"), ("segment-api", "segment-api"), ("worker", "projection"),
    ("flink", "taskmanager"), ("flink", "jobmanager"), ("postgres", "postgres"), ("kafka", "kafka"),
)  # fmt: skip
EVENTS_PER_S = 60.0


def pods() -> list[dict[str, object]]:
    return [each for each in found("pods", NAMESPACE) if each["status"]["phase"] != "Succeeded"]


def restarts() -> dict[str, int]:
    return {
        f"{pod['metadata']['name']}/{each['name']}": each["restartCount"]  # type: ignore[index]
        for pod in pods()
        for each in pod["status"]["containerStatuses"]  # type: ignore[index]
    }


def ready() -> bool:
    return all(
        each["ready"]
        for pod in pods()
        for each in pod["status"].get("containerStatuses", [{"ready": False}])  # type: ignore[attr-defined]
    )


def wait_until_ready(within_s: float = 240) -> None:
    deadline = time.monotonic() + within_s
    while not ready():
        assert time.monotonic() < deadline, kubectl("-n", NAMESPACE, "get", "pods")
        time.sleep(1)


def kill(component: str, container: str) -> None:
    """Kill the container's first process from outside: KILL from inside does not reach it."""
    name = kubectl(
        "-n", NAMESPACE, "get", "pods", "-l", f"app.kubernetes.io/component={component}",
        "-o", "jsonpath={.items[0].metadata.name}",
    )  # fmt: skip
    before = restarts()[f"{name}/{container}"]
    hook = os.environ.get("AUDIENCE_TEST_KILL", "")
    if not hook:
        pytest.skip("AUDIENCE_TEST_KILL names no command that kills a container: NAMESPACE POD CONTAINER follow")
    subprocess.run([*hook.split(), NAMESPACE, name, container], check=True, timeout=60)  # noqa: S603
    deadline = time.monotonic() + 180
    while restarts().get(f"{name}/{container}", 0) == before:
        assert time.monotonic() < deadline, f"{name}/{container} was not restarted"
        time.sleep(0.5)
    wait_until_ready()


def trial_with(demo: Demo, first: int, harm: Callable[[], object]) -> None:
    """Events flow while harm is done; afterwards every membership is the oracle's."""
    trial = Trial(demo.addresses(), Rules.random(12, first))
    asyncio.run(trial.save_rules())
    try:
        sent = asyncio.run(while_sending(trial.send(80, first, EVENTS_PER_S), harm))
        asyncio.run(trial.settle())
        verdict = asyncio.run(trial.verdict())
    finally:
        asyncio.run(trial.remove_rules())
    print(f"{sent} events; {verdict}")
    assert verdict.wrong == []
    assert verdict.compared > 100


def test_the_demo_comes_up_with_right_sizes_and_without_a_restart(demo: Demo) -> None:
    print(demo.said)
    assert demo.said.count("equal") >= 5
    assert "DIFFERENT" not in demo.said
    assert set(restarts().values()) == {0}


def test_helm_test_passes(demo: Demo) -> None:
    assert "Succeeded" in helm("test", "audience-manager", "--namespace", NAMESPACE, "--timeout", "3m")


def test_the_black_box_tests_pass_through_node_ports(demo: Demo) -> None:
    where = demo.addresses()
    variables = {
        "AUDIENCE_TEST_INGEST_URL": where.ingest_url,
        "AUDIENCE_TEST_SEGMENTS_URL": where.segments_url,
        "AUDIENCE_TEST_KAFKA_BOOTSTRAP": where.kafka_bootstrap,
        "AUDIENCE_TEST_POSTGRES_DSN": where.postgres_dsn,
    }
    suites = ("segments/test_segment_api.py", "segments/test_profile_api.py", "segments/test_changes.py",
              "ingest/test_ingest.py")  # fmt: skip
    paths = [f"tests/integration/{each}" for each in suites]
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pytest", *paths], cwd=ROOT, env={**os.environ, **variables},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=False,
    )  # fmt: skip
    print(done.stdout[-600:])
    assert done.returncode == 0, done.stdout


def test_no_secret_is_shown_by_helm_or_logged(demo: Demo) -> None:
    password = demo.addresses().postgres_dsn.split(":")[2].split("@")[0]
    assert password not in helm("get", "values", "audience-manager", "--namespace", NAMESPACE, "--all")
    for each in found("configmaps", NAMESPACE):
        assert password not in str(each["data"])
    for pod in pods():
        name = pod["metadata"]["name"]  # type: ignore[index]
        assert password not in kubectl("-n", NAMESPACE, "logs", name, "--all-containers")


def test_an_upgrade_and_a_rollback_lose_nothing(demo: Demo) -> None:
    def change() -> None:
        where = ("--namespace", NAMESPACE)
        helm("upgrade", "audience-manager", CHART, *where, *values_files(demo), "--set", "logLevel=DEBUG", "--wait")
        wait_until_ready()
        helm("rollback", "audience-manager", *where, "--wait")
        wait_until_ready()

    trial_with(demo, 500, change)


@pytest.mark.parametrize(("component", "container"), PARTS, ids=[container for _, container in PARTS])
def test_a_killed_part_comes_back_and_the_oracle_agrees(demo: Demo, component: str, container: str) -> None:
    number = 1_000 + 100 * [each for _, each in PARTS].index(container)
    trial_with(demo, number, lambda: kill(component, container))


def test_uninstall_leaves_nothing(demo: Demo) -> None:
    helm("uninstall", "audience-manager", "--namespace", NAMESPACE, "--wait")
    kinds = "pods,services,deployments,statefulsets,jobs,configmaps,secrets,serviceaccounts,networkpolicies,pvc,roles"
    left = [
        f"{each['kind']}/{each['metadata']['name']}"
        for each in found(kinds, NAMESPACE)
        if each["metadata"]["name"] not in ("kube-root-ca.crt", "default")
    ]
    assert left == []
