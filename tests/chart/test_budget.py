"""The demo fits its node; PostgreSQL's connections are enough for all that may ask for one."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, Resource, amount, overlay, pods, rendered

GI = 2**30
OF_THE_CLUSTER = 0.3
"""Cores that a small cluster's own pods request: names, metrics, storage, ingress."""
RESERVED_CONNECTIONS = 3
"""PostgreSQL keeps so many for its superuser, where it is not told otherwise."""


def largest(template: Resource, of: Callable[[Resource], object]) -> float:
    """What a pod takes: its containers together, or its largest init container."""
    spec = template["spec"]
    together = sum(amount(of(each)) for each in spec["containers"])
    return max([together, *(amount(of(each)) for each in spec.get("initContainers", []))])


@pytest.mark.parametrize(
    ("kind", "resource", "at_most"),
    [("limits", "memory", 6.8 * GI), ("requests", "memory", 5.5 * GI), ("requests", "cpu", 2.5)],
)
def test_the_demo_fits(kind: str, resource: str, at_most: float) -> None:
    # The Job of the install and the one that verifies run beside everything else.
    total = sum(largest(each, lambda c: c["resources"][kind][resource]) for each in pods(rendered("demo")).values())
    assert total <= at_most


def told_of(values: dict[str, Any], area: str, key: str) -> object:
    return values.get(area, {}).get(key)


def test_an_upgrade_of_the_demo_finds_room_on_two_cores() -> None:
    """A new pod of a Deployment runs beside the old one for a while, and the Job of the upgrade before both."""
    found = pods(rendered("demo"))
    cores = {owner: largest(each, lambda c: c["resources"]["requests"]["cpu"]) for owner, each in found.items()}
    stay = sum(each for owner, each in cores.items() if not owner.startswith("Job/"))
    comes = max(each for owner, each in cores.items() if owner.startswith(("Deployment/", "Job/")))
    assert stay + comes <= 2 - OF_THE_CLUSTER


@pytest.mark.parametrize("name", ["demo", "production"])
def test_postgres_has_connections_enough(name: str) -> None:
    base = yaml.safe_load((CHART / "values.yaml").read_text())
    over = yaml.safe_load(overlay(name).read_text())

    def told(area: str, process: str, key: str, default: object) -> object:
        found = over.get(area, {})
        found = found.get("list", {}) if area == "workers" else found
        known = base[area]["list"] if area == "workers" else base[area]
        return found.get(process, {}).get(key, known[process].get(key, default))

    total = base["prepare"].get("postgresConnections", 1)
    total += base["verify"].get("postgresConnections", 2) if told_of(over, "verify", "enabled") else 0
    for area, processes in (("services", base["services"]), ("workers", base["workers"]["list"])):
        for process in processes:
            scaling = told(area, process, "autoscaling", {})
            assert isinstance(scaling, dict)
            replicas = scaling["maxReplicas"] if scaling.get("enabled") else told(area, process, "replicas", 1)
            connections = told(area, process, "postgresConnections", 4)
            assert isinstance(replicas, int)
            assert isinstance(connections, int)
            total += replicas * connections
    settings = {**base["postgres"]["settings"], **over["postgres"]["settings"]}
    reserved = int(settings.get("superuser_reserved_connections", RESERVED_CONNECTIONS))
    assert total <= int(settings["max_connections"]) - reserved


@pytest.mark.parametrize("name", ["demo", "production"])
def test_segment_api_is_told_how_many_connections_are_counted(name: str) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())["services"]["segment-api"]
    values |= yaml.safe_load(overlay(name).read_text())["services"]["segment-api"]
    previews = 1  # a process of its own, which opens one while it works
    assert int(values["env"]["AUDIENCE_POSTGRES_CONNECTIONS"]) + previews == values["postgresConnections"]
