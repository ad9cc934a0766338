"""The cluster that KUBECONFIG points to: real nodes run the demo; those that pretend take the production overlay."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.settings import ROOT
from tests.integration.addresses import OtherPlatform

NAMESPACE = "audience-manager-demo"
VALUES = ROOT / "tests/cluster/values.yaml"


def kubectl(*arguments: str, check: bool = True, within_s: float = 120, given: str | None = None) -> str:
    """Run kubectl; its output."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is not on the path")
    done = subprocess.run(  # noqa: S603
        [program, *arguments], capture_output=True, text=True, check=False, timeout=within_s, input=given
    )
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def helm(*arguments: str, within_s: float = 600) -> str:
    program = shutil.which("helm")
    if program is None:
        pytest.skip("helm is not on the path")
    done = subprocess.run(  # noqa: S603
        [program, *arguments], capture_output=True, text=True, check=False, timeout=within_s, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def found(kind: str, namespace: str, *options: str) -> list[Any]:
    """Resources of a kind."""
    return list(json.loads(kubectl("get", kind, "--namespace", namespace, "--output", "json", *options))["items"])


@pytest.fixture(scope="session")
def nodes() -> list[Any]:
    """The cluster's nodes. Skips where there is no cluster."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    return list(json.loads(kubectl("get", "nodes", "--output", "json"))["items"])


@pytest.fixture(scope="session")
def pretended(nodes: list[Any]) -> None:
    """Only where the nodes pretend (kwok)."""
    if not all("kwok.x-k8s.io/node" in each["metadata"].get("annotations", {}) for each in nodes):
        pytest.skip("these are real nodes")


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo as installed, and what its installation printed."""

    said: str
    node: str
    variables: dict[str, str]

    def run(self, *arguments: str, within_s: float = 1200) -> str:
        """``python -m local.cluster``."""
        return cluster_command(self.variables, *arguments, within_s=within_s)

    def addresses(self) -> OtherPlatform:
        """Through the NodePorts."""
        secret = json.loads(kubectl("-n", NAMESPACE, "get", "secret", "postgres", "-o", "json"))["data"]["password"]
        password = base64.b64decode(secret).decode()
        return OtherPlatform(
            ingest_url=f"http://{self.node}:30081",
            segments_url=f"http://{self.node}:30082",
            kafka_bootstrap=f"{self.node}:30092",
            postgres_dsn=f"postgresql://audience:{password}@{self.node}:30432/audience",
        )


def cluster_command(variables: dict[str, str], *arguments: str, within_s: float) -> str:
    done = subprocess.run(  # noqa: S603
        [str(ROOT / ".venv/bin/python"), "-m", "local.cluster", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=within_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def demo(nodes: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo from nothing, with its sample; removed afterwards. AUDIENCE_DEMO_BUILD and _LOAD say how images come.

    With AUDIENCE_TEST_DEMO set, one that these tests' values installed before is used, and stays.
    """
    if any("kwok.x-k8s.io/node" in each["metadata"].get("annotations", {}) for each in nodes):
        pytest.skip("nodes that pretend run nothing")
    node = next(each["address"] for each in nodes[0]["status"]["addresses"] if each["type"] == "InternalIP")
    more = tmp_path_factory.mktemp("values") / "node.yaml"
    more.write_text(f"kafka: {{nodeAddress: {node}}}\n")
    variables = {"AUDIENCE_DEMO_YES": "1", "AUDIENCE_DEMO_NODE": node, "AUDIENCE_DEMO_VALUES": f"{VALUES}:{more}"}
    if os.environ.get("AUDIENCE_TEST_DEMO"):
        yield Demo("", node, variables)
        return
    said = cluster_command(variables, "up", within_s=5400)
    yield Demo(said, node, variables)
    cluster_command(variables, "down", within_s=600)


def values_files(demo: Demo) -> list[str]:
    """Helm's options for the same values."""
    files = [str(ROOT / "overlays/demo/values.yaml"), *demo.variables["AUDIENCE_DEMO_VALUES"].split(":")]
    assert all(Path(each).exists() for each in files)
    return [word for file in files for word in ("--values", file)]
