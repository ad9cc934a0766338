"""The chart of the repository, by the Helm that is on the path."""

import json
import shutil
from collections.abc import Sequence
from typing import Any, Final

import yaml

from local.cluster.settings import DemoSettings
from local.commands import run
from local.layout import NotInstalled
from local.settings import ROOT

CHART: Final = ROOT / "helm/audience-manager"
OVERLAY: Final = ROOT / "overlays/demo/values.yaml"


def helm(*arguments: str, within_s: float = 120) -> str:
    """Run Helm; its output. Raises CommandFailed, NotInstalled."""
    found = shutil.which("helm")
    if found is None:
        raise NotInstalled("helm is not on the path: https://helm.sh/docs/intro/install, version 3.16 or newer")
    return run([found, *arguments], folder=ROOT, within_s=within_s)


def values(settings: DemoSettings) -> list[str]:
    """The options that name the demo's values."""
    more = [file for file in settings.values.split(":") if file]
    return [word for file in (str(OVERLAY), *more) for word in ("--values", file)]


def rendered(settings: DemoSettings) -> list[dict[str, Any]]:
    """Every resource of the demo."""
    text = helm("template", settings.release, str(CHART), "--namespace", settings.namespace, *values(settings))
    return [each for each in yaml.safe_load_all(text) if each]


def install(settings: DemoSettings) -> None:
    """Install or upgrade. It does not wait for the pods."""
    where = ("--namespace", settings.namespace)
    helm("upgrade", "--install", settings.release, str(CHART), *where, *values(settings), within_s=settings.wait_s)


def uninstall(settings: DemoSettings) -> None:
    """Remove the release and wait until its resources are gone."""
    helm("uninstall", settings.release, "--namespace", settings.namespace, "--ignore-not-found", "--wait", within_s=300)


def installed(settings: DemoSettings) -> bool:
    """Whether the release is there."""
    found = json.loads(helm("list", "--namespace", settings.namespace, "--output", "json", "--all"))
    return any(each["name"] == settings.release for each in found)


def images(resources: Sequence[dict[str, Any]]) -> list[str]:
    """The images that pods of these resources run, each once."""
    specs = [each["spec"]["template"]["spec"] for each in resources if "template" in (each.get("spec") or {})]
    found = [
        container["image"] for spec in specs for container in (*spec.get("initContainers", []), *spec["containers"])
    ]
    return sorted(set(found))


def node_ports(resources: Sequence[dict[str, Any]]) -> dict[str, int]:
    """The NodePort of each Service that has one."""
    return {
        each["metadata"]["name"]: port["nodePort"]
        for each in resources
        if each["kind"] == "Service"
        for port in each["spec"]["ports"]
        if "nodePort" in port
    }
