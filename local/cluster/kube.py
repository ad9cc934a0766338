"""The cluster that KUBECONFIG points to: which one it is, what it has room for, how the release's pods are."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException
from kubernetes.stream import stream
from kubernetes.utils.quantity import parse_quantity as _parse_quantity

from services.operations.cluster.kube import ClusterAway, PodState, called, state_of

MIB: Final = 1024 * 1024
LOCAL_CONTEXTS: Final = re.compile(r"^(rancher-desktop|docker-desktop|minikube|colima|kind-.*|k3d-.*)$")

_quantity: Callable[[str], Decimal] = _parse_quantity
"""The library's own has no types."""


@dataclass(frozen=True, slots=True)
class Context:
    """The kubeconfig's current context."""

    name: str
    server: str

    @property
    def local(self) -> bool:
        """Whether it is a cluster of this machine, by its name or its address."""
        host = urlsplit(self.server).hostname or ""
        return bool(LOCAL_CONTEXTS.match(self.name)) or host in ("127.0.0.1", "localhost", "::1")


class Cluster:
    """The API of the current context. Every call raises ClusterAway."""

    def __init__(self) -> None:
        try:
            _contexts, active = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
            config.load_kube_config()  # type: ignore[no-untyped-call]
        except ConfigException as error:
            raise ClusterAway(f"no cluster is configured: {error}") from error
        self.context = Context(str(active["name"]), str(client.Configuration.get_default_copy().host))
        self._core = client.CoreV1Api()

    def free_memory(self) -> int:
        """Bytes that pods may still request, over all nodes that take any."""
        nodes = [node for node in called(self._core.list_node).items if not node.spec.unschedulable]
        have = sum(_quantity(node.status.allocatable["memory"]) for node in nodes)
        pods = called(self._core.list_pod_for_all_namespaces).items
        taken = sum((_requested(pod) for pod in pods if pod.status.phase in ("Pending", "Running")), Decimal(0))
        return int(have - taken)

    def node_address(self) -> str:
        """The first node's own address."""
        for node in called(self._core.list_node).items:
            for address in node.status.addresses:
                if address.type == "InternalIP":
                    return str(address.address)
        raise ClusterAway("no node has an address")

    def pods(self, namespace: str) -> Sequence[PodState]:
        """The release's pods, by name."""
        found = called(self._core.list_namespaced_pod, namespace).items
        return sorted((state_of(pod) for pod in found), key=lambda pod: pod.name)

    def run_in(self, namespace: str, component: str, container: str, command: Sequence[str]) -> str:
        """Run a command in the first ready pod of a component, and give what it prints."""
        selector = f"app.kubernetes.io/component={component}"
        pods = called(self._core.list_namespaced_pod, namespace, label_selector=selector).items
        ready = [pod.metadata.name for pod in pods if state_of(pod).healthy and pod.metadata.deletion_timestamp is None]
        if not ready:
            raise ClusterAway(f"no pod of {component} is ready")
        return str(
            called(
                stream,
                self._core.connect_get_namespaced_pod_exec,
                ready[0],
                namespace,
                container=container,
                command=list(command),
                stdout=True,
                stderr=False,
                stdin=False,
                tty=False,
            )
        )

    def make_namespace(self, name: str) -> None:
        """Make it, unless it is there; Pod Security is `restricted` in it."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "app.kubernetes.io/part-of": "audience-manager"}
        body = client.V1Namespace(metadata=client.V1ObjectMeta(name=name, labels=labels))
        if name not in {each.metadata.name for each in called(self._core.list_namespace).items}:
            called(self._core.create_namespace, body)

    def remove_namespace(self, name: str, within_s: float = 180) -> None:
        """Remove it with everything in it, and wait until it is gone: nothing can be made in one that goes."""
        deadline, told = time.monotonic() + within_s, False
        while name in {each.metadata.name for each in called(self._core.list_namespace).items}:
            if not told:
                called(self._core.delete_namespace, name)
                told = True
            if time.monotonic() > deadline:
                raise ClusterAway(f"the namespace {name} is not gone after {within_s:g} s")
            time.sleep(1)


def _requested(pod: Any) -> Decimal:
    requests = ((each.resources.requests or {}).get("memory", "0") for each in pod.spec.containers if each.resources)
    return sum((_quantity(each) for each in requests), Decimal(0))
