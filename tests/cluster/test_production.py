"""The production overlay on many nodes in three zones: accepted as strictly as can be, scheduled, spread."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from local.cluster.prepare import prepare
from local.settings import ROOT
from tests.cluster.conftest import found, helm, kubectl

NAMESPACE = "audience-manager-prod"
CHART = str(ROOT / "helm/audience-manager")
OVERLAY = str(ROOT / "overlays/production/values.yaml")
ZONE = "topology.kubernetes.io/zone"
COMPONENT = "app.kubernetes.io/component"


def wait_until(what: str, true: Any, within_s: float = 180) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(1)


def running() -> list[Any]:
    return [
        each
        for each in found("pods", NAMESPACE)
        if each["status"]["phase"] == "Running" and "deletionTimestamp" not in each["metadata"]
    ]


def by_zone(nodes: list[Any]) -> dict[str, Counter[str]]:
    zones = {each["metadata"]["name"]: each["metadata"]["labels"][ZONE] for each in nodes}
    counted: dict[str, Counter[str]] = {}
    for pod in running():
        counted.setdefault(pod["metadata"]["labels"][COMPONENT], Counter())[zones[pod["spec"]["nodeName"]]] += 1
    return counted


def with_storage() -> None:
    """`fast-ssd` by whatever provisions this cluster's default class; then the rest of what it needs."""
    classes = json.loads(kubectl("get", "storageclass", "--output", "json"))["items"]
    if "fast-ssd" not in {each["metadata"]["name"] for each in classes}:
        fields = ("provisioner", "volumeBindingMode", "reclaimPolicy")
        fast = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast-ssd"}}
        fast |= {field: classes[0][field] for field in fields}
        kubectl("create", "--filename", "-", given=json.dumps(fast))
    prepare()


@pytest.fixture(scope="module")
def installed(pretended: None) -> Iterator[None]:
    with_storage()
    text = helm("template", "audience-manager", CHART, "--namespace", NAMESPACE, "--values", OVERLAY)
    assert text
    helm("install", "audience-manager", CHART, "--namespace", NAMESPACE, "--values", OVERLAY)
    yield
    helm("uninstall", "audience-manager", "--namespace", NAMESPACE)


def test_the_server_accepts_every_resource_in_strict_mode(pretended: None, tmp_path: Any) -> None:
    with_storage()
    manifests = tmp_path / "all.yaml"
    where = ("--namespace", NAMESPACE, "--values", OVERLAY)
    manifests.write_text(helm("template", "audience-manager", CHART, *where))
    said = kubectl("apply", "-n", NAMESPACE, "--dry-run=server", "--validate=strict", "--filename", str(manifests))
    assert said.count("(server dry run)") > 50


def test_every_pod_is_scheduled_and_spread(installed: None, nodes: list[Any]) -> None:
    wait_until("nine pods run", lambda: len(running()) >= 9)
    assert not [each for each in found("pods", NAMESPACE) if each["status"]["phase"] == "Pending"]
    for component, zones in by_zone(nodes).items():
        if component in ("ingest-api", "segment-api", "projection"):
            assert sorted(zones.values()) == [1, 1, 1], (component, zones)


def test_autoscalers_and_budgets_bind(installed: None) -> None:
    scalers = {each["metadata"]["name"]: each for each in found("hpa", NAMESPACE)}
    assert set(scalers) == {"ingest-api", "segment-api", "projection"}
    wait_until(
        "budgets count their pods",
        lambda: all(
            each["status"].get("currentHealthy", 0) == 3
            for each in found("pdb", NAMESPACE)
            if not each["metadata"]["name"].startswith("flink-")
        ),
    )
    for each in found("pdb", NAMESPACE):
        if not each["metadata"]["name"].startswith("flink-"):
            assert each["status"]["disruptionsAllowed"] == 1


def test_after_an_update_the_spread_is_even(installed: None, nodes: list[Any]) -> None:
    options = ("--namespace", NAMESPACE, "--values", OVERLAY, "--set", "logLevel=WARNING")
    helm("upgrade", "audience-manager", CHART, *options)
    for name in ("deployment/segment-api", "deployment/projection", "statefulset/ingest-api"):
        kubectl("-n", NAMESPACE, "rollout", "status", name, "--timeout=180s", within_s=200)
    for component, zones in by_zone(nodes).items():
        if component in ("ingest-api", "segment-api", "projection"):
            assert sorted(zones.values()) == [1, 1, 1], (component, zones)


def test_a_node_can_be_drained(installed: None, nodes: list[Any]) -> None:
    node = running()[0]["spec"]["nodeName"]
    options = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=170s")
    kubectl("drain", node, *options, within_s=200)
    try:
        wait_until("all pods run elsewhere", lambda: len(running()) >= 9)
        assert node not in {each["spec"]["nodeName"] for each in running()}
    finally:
        kubectl("uncordon", node)


def test_without_a_zone_a_majority_of_everything_is_left(installed: None, nodes: list[Any]) -> None:
    wait_until("nine pods run", lambda: len(running()) >= 9)
    for lost in sorted({each["metadata"]["labels"][ZONE] for each in nodes}):
        for component, zones in by_zone(nodes).items():
            left = sum(count for zone, count in zones.items() if zone != lost)
            if component in ("ingest-api", "segment-api", "projection"):
                assert left * 2 > sum(zones.values()), (lost, component, zones)
