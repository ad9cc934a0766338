"""The network policies allow what docs/architecture.md draws, and nothing besides."""

import re
from collections.abc import Sequence

import pytest

from tests.chart.rendering import Resource, pods, rendered

DNS = "dns"
DRAWN = {
    # docs/architecture.md, "The path of an event".
    ("ingest-api", "kafka"),
    ("ingest-api", "postgres"),  # sources and their write keys
    ("segment-api", "kafka"),
    ("segment-api", "postgres"),
    ("segment-api", "aerospike"),
    ("segment-api", "ingest-api"),  # bad events, sent again
    ("prepare", "kafka"),
    ("prepare", "postgres"),
    ("test", "ingest-api"),
    ("test", "segment-api"),
    ("verify", "kafka"),  # what the stores hold, beside the topic
    ("verify", "postgres"),
    ("verify", "aerospike"),
}
DEMO = DRAWN | {
    ("worker", "kafka"),
    ("worker", "postgres"),
    ("worker", "aerospike"),
    ("flink", "kafka"),
    ("anywhere", "ingest-api"),  # NodePorts
    ("anywhere", "segment-api"),
    ("prometheus", "ingest-api"),
    ("prometheus", "segment-api"),
    ("prometheus", "worker"),
    ("prometheus", "flink"),
}
PRODUCTION = DRAWN | {
    ("projection", "kafka"),
    ("projection", "postgres"),
    ("projection", "aerospike"),
    ("archive", "kafka"),
    ("archive", "postgres"),
    ("archive", "anywhere"),  # the lake in S3
    ("segment-api", "anywhere"),
    ("flink-jobmanager", "kafka"),
    ("flink-taskmanager", "kafka"),
    ("flink-jobmanager", "flink-taskmanager"),
    ("flink-taskmanager", "flink-jobmanager"),
    ("flink-taskmanager", "flink-taskmanager"),
    ("flink-jobmanager", "anywhere"),  # checkpoints in S3, leaders in the Kubernetes API
    ("flink-taskmanager", "anywhere"),
    ("namespace ingress-nginx", "ingest-api"),
    ("namespace ingress-nginx", "segment-api"),
    # The stores among themselves and with their operators.
    ("kafka", "kafka"),
    ("kafka", "anywhere"),
    ("kafka-operator", "kafka"),
    ("kafka-operator", "anywhere"),
    ("kafka-exporter", "kafka"),
    ("postgres", "postgres"),
    ("postgres", "anywhere"),
    ("aerospike", "aerospike"),
    ("aerospike", "anywhere"),
    *(
        (f"namespace {operator}", part)
        for operator in ("strimzi-system", "cnpg-system", "flink-operator-system", "aerospike-operator-system")
        for part in ("kafka", "postgres", "aerospike", "flink-jobmanager")
    ),
    *(
        ("namespace monitoring", part)
        for part in (
            "ingest-api", "segment-api", "projection", "archive", "flink-jobmanager", "flink-taskmanager", "kafka",
            "kafka-exporter", "postgres",
        )
    ),
}  # fmt: skip


def policies(name: str) -> Sequence[Resource]:
    return [each for each in rendered(name) if each["kind"] == "NetworkPolicy"]


def peer(found: Resource) -> str:
    if "podSelector" in found:
        return str(found["podSelector"]["matchLabels"]["app.kubernetes.io/component"])
    if "namespaceSelector" in found:
        name = found["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        return DNS if name == "kube-system" else f"namespace {name}"
    assert found["ipBlock"]["cidr"] == "0.0.0.0/0"
    return "anywhere"


def component(policy: Resource) -> str:
    return str(policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"])


def allowed(name: str, side: str) -> set[tuple[str, str, int]]:
    """What the policies of one side allow: from, to, port."""
    found = set()
    for policy in policies(name):
        if not policy["spec"]["podSelector"]:
            continue
        own = component(policy)
        for rule in policy["spec"][side] or []:
            for other in rule["from" if side == "ingress" else "to"]:
                for port in rule["ports"]:
                    pair = (peer(other), own) if side == "ingress" else (own, peer(other))
                    found.add((*pair, int(port["port"])))
    return found


@pytest.mark.parametrize(("name", "drawn"), [("demo", DEMO), ("production", PRODUCTION)])
def test_every_flow_that_is_drawn_and_no_other(name: str, drawn: set[tuple[str, str]]) -> None:
    both = allowed(name, "ingress") | allowed(name, "egress")
    assert {(source, target) for source, target, _ in both if target != DNS} == drawn


@pytest.mark.parametrize("name", ["demo", "production"])
def test_both_ends_of_a_flow_agree(name: str) -> None:
    def inside(end: str) -> bool:
        return not re.match(r"anywhere|namespace |dns", end)

    ingress = {each for each in allowed(name, "ingress") if inside(each[0]) and inside(each[1])}
    egress = {each for each in allowed(name, "egress") if inside(each[0]) and inside(each[1])}
    assert ingress == egress


@pytest.mark.parametrize("name", ["demo", "production"])
def test_everything_else_is_denied_and_every_pod_has_a_policy(name: str) -> None:
    deny = [each for each in policies(name) if each["spec"]["podSelector"] == {}]
    assert [each["spec"]["policyTypes"] for each in deny] == [["Ingress", "Egress"]]
    assert not any("ingress" in each["spec"] or "egress" in each["spec"] for each in deny)
    chosen = {component(each) for each in policies(name) if each["spec"]["podSelector"]}
    running = {each["metadata"]["labels"]["app.kubernetes.io/component"] for each in pods(rendered(name)).values()}
    assert running <= chosen
