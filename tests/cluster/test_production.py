"""The production overlay on many nodes in three zones: accepted as strictly as can be, scheduled, spread.

The nodes pretend, and no operator runs, so stand-ins take the place of the stores' pods: as many, as large, spread as
the operators' resources say. Volumes are of one zone, as those of a cloud's disks are.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.cluster.prepare import prepare
from local.settings import ROOT
from tests.cluster import pages
from tests.cluster.conftest import found, helm, kubectl

NAMESPACE = "audience-manager-prod"
CHART = str(ROOT / "helm/audience-manager")
OVERLAY = str(ROOT / "overlays/production/values.yaml")
WHERE = ("--namespace", NAMESPACE, "--values", OVERLAY)
ZONE = "topology.kubernetes.io/zone"
COMPONENT = "app.kubernetes.io/component"
FAST = "fast-ssd"
CLAIMED = ("ingest-api",)
THREE = ("ingest-api", "segment-api", "projection")
ONE = ("archive",)

NOT_HERE = {
    "helm install audience-manager helm/audience-manager": "it is installed so already",
    "kubectl apply -f k8s/storage-classes.yaml": "the classes are there, and the pages' name a cloud's provisioner",
    "kubectl logs -f job/verify-now -n audience-manager-prod": "pods that pretend log nothing",
    "kubectl exec deploy/projection -n audience-manager-prod -- audience-ops stores repair": "nor do they run anything",
}


@dataclass(frozen=True, slots=True)
class StandIn:
    """Pods that an operator would make."""

    name: str
    replicas: int
    resources: Mapping[str, Any]
    spread: list[Any]


def wait_until(what: str, true: Any, within_s: float = 180) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}\n" + kubectl(
            "-n", NAMESPACE, "get", "pods", "-o", "wide"
        )
        time.sleep(1)


def pods() -> list[Any]:
    return [
        each
        for each in found("pods", NAMESPACE)
        if each["metadata"]["labels"].get(COMPONENT) != "prepare" and "deletionTimestamp" not in each["metadata"]
    ]


def running() -> list[Any]:
    return [each for each in pods() if each["status"]["phase"] == "Running"]


def by_zone() -> dict[str, Counter[str]]:
    """Of each component the running pods by zone."""
    nodes = json.loads(kubectl("get", "nodes", "--output", "json"))["items"]
    zones = {each["metadata"]["name"]: each["metadata"]["labels"][ZONE] for each in nodes}
    counted: dict[str, Counter[str]] = {}
    for pod in running():
        if (node := pod["spec"]["nodeName"]) in zones:
            counted.setdefault(pod["metadata"]["labels"][COMPONENT], Counter())[zones[node]] += 1
    return counted


def stand_ins() -> list[StandIn]:
    """By the operators' resources as the chart renders them."""
    text = helm("template", "audience-manager", CHART, *WHERE)
    by = {(each["kind"], each["metadata"]["name"]): each.get("spec", {}) for each in yaml.safe_load_all(text) if each}
    made = []
    for pool in ("broker", "controller"):
        spec = by["KafkaNodePool", pool]
        spread = spec["template"]["pod"]["topologySpreadConstraints"]
        made.append(StandIn(f"kafka-{pool}", spec["replicas"], spec["resources"], spread))
    spec = by["Cluster", "postgres"]
    made.append(StandIn("postgres", spec["instances"], spec["resources"], spec["topologySpreadConstraints"]))
    for part in ("jobManager", "taskManager"):
        flink = by["FlinkDeployment", "flink"][part]
        asked = flink["resource"]
        settings, gib = by["FlinkDeployment", "flink"]["flinkConfiguration"], int(asked["memory"].removesuffix("g"))
        limit = gib * float(settings[f"kubernetes.{part.lower()}.memory.limit-factor"])
        requests = {"cpu": str(asked["cpu"]), "memory": f"{gib}Gi"}
        resources = {"requests": requests, "limits": {"memory": f"{limit:g}Gi"}}
        replicas = flink.get("replicas", 6)
        spread = flink["podTemplate"]["spec"]["topologySpreadConstraints"]
        made.append(StandIn(f"flink-{part.lower()}", replicas, resources, spread))
    spec = by["AerospikeCluster", "aerospike"]
    # The operator spreads racks itself, one a zone.
    by_rack = [{"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}]
    made.append(StandIn("aerospike", spec["size"], spec["podSpec"]["aerospikeContainer"]["resources"], by_rack))
    return made


def stateful_set(stand_in: StandIn) -> Mapping[str, Any]:
    labels = {COMPONENT: stand_in.name, "stand-in": "yes"}
    spread = [{**each, "labelSelector": {"matchLabels": labels}} for each in stand_in.spread]
    container = {"name": "part", "image": "stand-in:1", "resources": stand_in.resources}
    container |= {"securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": stand_in.name, "labels": labels},
        "spec": {
            "replicas": stand_in.replicas,
            "serviceName": stand_in.name,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [container], "topologySpreadConstraints": spread, "securityContext": security,
                },
            },
        },
    }  # fmt: skip


def volume(zone: str, number: int) -> Mapping[str, Any]:
    """A disk that can be used by any node of its zone."""
    term = {"matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"disk-{zone}-{number}", "labels": {"disks": "of-the-test"}},
        "spec": {
            "capacity": {"storage": "100Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": FAST,
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": "/nowhere"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        },
    }


@pytest.fixture(scope="module")
def prepared(pretended: None, nodes: list[Any]) -> Iterator[None]:
    """What a cluster needs first, and disks of the class that the overlay names."""
    fast = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": FAST}}
    fast |= {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}
    zones = sorted({each["metadata"]["labels"][ZONE] for each in nodes})
    made = [fast, *(volume(zone, number) for zone in zones for number in range(len(CLAIMED)))]
    kubectl("apply", "--filename", "-", given=yaml.safe_dump_all(made))
    prepare()
    yield
    kubectl("-n", NAMESPACE, "delete", "pvc", "--all")
    kubectl("delete", "pv", "--selector", "disks=of-the-test")


@pytest.fixture(scope="module")
def installed(prepared: None) -> Iterator[None]:
    sets = yaml.safe_dump_all([stateful_set(each) for each in stand_ins()])
    helm("install", "audience-manager", CHART, *WHERE)
    try:
        kubectl("-n", NAMESPACE, "apply", "--filename", "-", given=sets)
        yield
    finally:
        kubectl("-n", NAMESPACE, "delete", "statefulsets", "--selector", "stand-in=yes")
        helm("uninstall", "audience-manager", "--namespace", NAMESPACE)


def wanted() -> dict[str, int]:
    return {
        **dict.fromkeys(THREE, 3), **dict.fromkeys(ONE, 1), **{each.name: each.replicas for each in stand_ins()},
    }  # fmt: skip


def all_run(components: Mapping[str, int]) -> bool:
    counted = {component: sum(zones.values()) for component, zones in by_zone().items()}
    return counted == components and len(pods()) == sum(components.values())


def assert_spread() -> None:
    for component, zones in by_zone().items():
        if component not in ONE:
            assert len(zones) == 3, (component, zones)
            assert max(zones.values()) - min(zones.values()) <= 1, (component, zones)


def test_the_server_accepts_every_resource_in_strict_mode(prepared: None, tmp_path: Any) -> None:
    manifests = tmp_path / "all.yaml"
    manifests.write_text(helm("template", "audience-manager", CHART, *WHERE))
    said = kubectl("apply", "-n", NAMESPACE, "--dry-run=server", "--validate=strict", "--filename", str(manifests))
    assert said.count("(server dry run)") > 50


def test_every_pod_is_scheduled_and_spread(installed: None) -> None:
    components = wanted()
    wait_until("every pod runs", lambda: all_run(components))
    assert_spread()


def test_autoscalers_and_budgets_bind(installed: None) -> None:
    scalers = {each["metadata"]["name"]: each for each in found("hpa", NAMESPACE)}
    assert set(scalers) == set(THREE)
    wait_until(
        "each autoscaler finds its pods",
        lambda: all(each["status"].get("currentReplicas") == 3 for each in found("hpa", NAMESPACE)),
    )
    for each in scalers.values():
        assert (each["spec"]["minReplicas"], each["spec"]["maxReplicas"]) == (3, 20)

    def healthy() -> dict[str, tuple[int, int]]:
        return {
            each["metadata"]["name"]: (each["status"]["currentHealthy"], each["status"]["disruptionsAllowed"])
            for each in found("pdb", NAMESPACE)
            if not each["metadata"]["name"].startswith("flink-")  # its operator's pods
        }

    expected = {**dict.fromkeys(THREE, (3, 1)), **dict.fromkeys(ONE, (1, 1))}
    wait_until("budgets count their pods", lambda: healthy() == expected)


def test_after_an_update_the_spread_is_even(installed: None) -> None:
    helm("upgrade", "audience-manager", CHART, *WHERE, "--set", "logLevel=WARNING")
    for name in ("deployment/segment-api", "deployment/projection", "statefulset/ingest-api"):
        kubectl("-n", NAMESPACE, "rollout", "status", name, "--timeout=180s", within_s=200)
    components = wanted()
    wait_until("every pod runs", lambda: all_run(components))
    assert_spread()


def test_a_node_can_be_drained(installed: None) -> None:
    components = wanted()
    before = pods()
    node = next(each["spec"]["nodeName"] for each in before if each["metadata"]["labels"][COMPONENT] == "ingest-api")
    options = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=170s")
    kubectl("drain", node, *options, within_s=200)
    try:
        wait_until("every pod runs elsewhere", lambda: all_run(components))
        assert node not in {each["spec"]["nodeName"] for each in pods()}
        assert_spread()
    finally:
        kubectl("uncordon", node)


@pytest.mark.parametrize("number", range(3))
def test_without_a_zone_a_majority_of_everything_is_left(installed: None, nodes: list[Any], number: int) -> None:
    components = wanted()
    wait_until("every pod runs", lambda: all_run(components))
    lost = sorted({each["metadata"]["labels"][ZONE] for each in nodes})[number]
    gone = [each for each in nodes if each["metadata"]["labels"][ZONE] == lost]
    kubectl("delete", "node", *(each["metadata"]["name"] for each in gone))
    try:
        names = {each["metadata"]["name"] for each in gone}
        wait_until("its pods are gone", lambda: names.isdisjoint(each["spec"].get("nodeName") for each in pods()))
        left = {component: sum(zones.values()) for component, zones in by_zone().items()}
        for component, count in components.items():
            if component not in ONE:
                assert left.get(component, 0) * 2 > count, (lost, component, left)
        # What is in no zone by its disk comes back in the others.
        for component in (*ONE, "segment-api", "projection"):
            back = components[component]
            wait_until(f"{component} is whole again", lambda c=component, n=back: sum(by_zone()[c].values()) == n)  # type: ignore[misc]
    finally:
        for each in gone:
            kept = {key: each["metadata"][key] for key in ("name", "labels", "annotations")}
            kubectl("create", "--filename", "-", given=json.dumps({**each, "metadata": kept}))
        # As after every zone that comes back: the pods that went elsewhere are spread anew.
        for name in ("segment-api", "projection", "archive"):
            kubectl("-n", NAMESPACE, "rollout", "restart", f"deployment/{name}")


@pytest.mark.parametrize("command", [*pages.of_namespace(NAMESPACE), *pages.of_no_namespace()])
def test_a_command_of_the_pages(installed: None, command: str, tmp_path: Path) -> None:
    if reason := NOT_HERE.get(command.split(" --namespace", maxsplit=1)[0]):
        pytest.skip(reason)
    pages.run(command, pages.folder_for_commands(tmp_path))
