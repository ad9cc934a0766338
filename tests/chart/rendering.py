"""Renders the chart with an overlay, and finds things in what comes out."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.settings import ROOT

CHART = ROOT / "helm/audience-manager"
NAMESPACES = {"demo": "audience-manager-demo", "production": "audience-manager-prod"}
KUBERNETES = "1.34.0"
Resource = Mapping[str, Any]
_POD_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "Job")


def tool(name: str) -> str:
    """Where a program is: on the path, or where the set-up put it. Skips the test where it is nowhere."""
    found = shutil.which(name, path=os.pathsep.join((str(ROOT / ".tools/bin"), os.environ.get("PATH", ""))))
    if found is None:
        pytest.skip(f"{name} is not here (sh local/bootstrap.sh --tests brings helm)")
    return found


def overlay(name: str) -> Path:
    return ROOT / f"overlays/{name}/values.yaml"


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [tool("helm"), *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )


def template(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """``helm template`` of an overlay, with more options."""
    where = ("--namespace", NAMESPACES[name], "--kube-version", KUBERNETES, "--values", str(overlay(name)))
    return helm("template", "audience-manager", str(CHART), *where, *options)


@lru_cache
def rendered(name: str, *options: str) -> Sequence[Resource]:
    """Every resource."""
    done = template(name, *options)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def one(resources: Sequence[Resource], kind: str, name: str) -> Resource:
    """The resource of that kind and name; a name that ends in a dash is followed by a hash."""
    found = [
        each
        for each in resources
        if each["kind"] == kind
        and (each["metadata"]["name"] == name or (name.endswith("-") and each["metadata"]["name"].startswith(name)))
    ]
    assert len(found) == 1, f"{kind}/{name}: {len(found)} found"
    return found[0]


def at(resource: Resource, path: str) -> Any:
    """What stands at ``a.b[name].0.c``. A dot in a key is written ``\\.``; a ConfigMap's file is one key."""
    place: Any = resource
    if resource["kind"] == "ConfigMap" and path.startswith("data."):
        return resource["data"][path.removeprefix("data.")]
    for word in re.split(r"(?<!\\)\.", re.sub(r"\[([^]]+)\]", r".[\1", path)):
        key = word.replace("\\.", ".")
        if key.startswith("["):
            place = next(each for each in place if (each.get("name") or each["metadata"]["name"]) == key[1:])
        elif isinstance(place, list):
            place = place[int(key)]
        else:
            place = place[key]
    return place


def pods(resources: Sequence[Resource]) -> Mapping[str, Resource]:
    """The pod template of everything that makes pods, by kind and name."""
    found = {
        f"{each['kind']}/{each['metadata']['name']}": each["spec"]["template"]
        for each in resources
        if each["kind"] in _POD_KINDS
    }
    found |= {
        f"Job/{each['metadata']['name']}": each["spec"]["jobTemplate"]["spec"]["template"]
        for each in resources
        if each["kind"] == "CronJob"
    }
    return found


def containers(template: Resource) -> Sequence[Resource]:
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


_UNITS = {"": 1, "m": 0.001, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 1e3, "M": 1e6, "G": 1e9}


def amount(quantity: object) -> float:
    """A quantity of Kubernetes as a number: bytes, or cores."""
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(quantity))
    assert found is not None, quantity
    return float(found[1]) * _UNITS[found[2]]
