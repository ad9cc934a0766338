"""The API of the cluster: how its pods are, its resources as plain data, and calls that end in one kind of failure.

It is the cluster of KUBECONFIG or, in a pod, the pod's own.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

TIMEOUT_S: Final = 20
LOOK_EVERY_S: Final = 2.0
NOT_FOUND: Final = 404


class ClusterAway(Exception):
    """There is no cluster, or it refuses; the message says which."""


class NotDone(Exception):
    """What was asked for cannot be, or did not come about; the message says why."""


@dataclass(frozen=True, slots=True)
class PodState:
    """A pod as a person wants to see it."""

    name: str
    ready: int
    containers: int
    restarts: int
    said: str
    node: str
    done: bool

    @property
    def healthy(self) -> bool:
        return self.done or (self.containers > 0 and self.ready == self.containers)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resources: its group with the version, and its plural."""

    group: str
    version: str
    plural: str

    @property
    def words(self) -> tuple[str, str]:
        return self.group, self.version


JOBS: Final = Kind("batch", "v1", "jobs")
FLINK: Final = Kind("flink.apache.org", "v1beta1", "flinkdeployments")
POSTGRES: Final = Kind("postgresql.cnpg.io", "v1", "clusters")


class Namespace:
    """The resources of one namespace. Every call raises ClusterAway."""

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            config.load_config()  # type: ignore[no-untyped-call]
        except ConfigException as error:
            raise ClusterAway(f"no cluster is configured: {error}") from error
        self._core = client.CoreV1Api()
        self._any = client.CustomObjectsApi()

    def pods(self) -> Sequence[PodState]:
        """By name, with those that have done their work."""
        found = called(self._core.list_namespaced_pod, self.name).items
        return sorted((state_of(pod) for pod in found), key=lambda pod: pod.name)

    def get(self, kind: Kind, name: str) -> dict[str, Any] | None:
        """A resource; None where there is none, or nothing of its kind."""
        try:
            found: dict[str, Any] = called(
                self._any.get_namespaced_custom_object, *kind.words, self.name, kind.plural, name
            )
        except ClusterAway as error:
            if isinstance(error.__cause__, ApiException) and error.__cause__.status == NOT_FOUND:
                return None
            raise
        return found

    def create(self, kind: Kind, resource: Mapping[str, Any]) -> None:
        called(self._any.create_namespaced_custom_object, *kind.words, self.name, kind.plural, resource)

    def patch(self, kind: Kind, name: str, change: Mapping[str, Any]) -> None:
        """Merge `change` into it."""
        called(self._any.patch_namespaced_custom_object, *kind.words, self.name, kind.plural, name, change)

    def delete(self, kind: Kind, name: str) -> None:
        """With what belongs to it."""
        called(
            self._any.delete_namespaced_custom_object, *kind.words, self.name, kind.plural, name,
            propagation_policy="Background",
        )  # fmt: skip

    def wait_for(
        self, kind: Kind, name: str, done: Callable[[Mapping[str, Any]], bool], within_s: float
    ) -> Mapping[str, Any]:
        """The resource when it is as it should be. Raises NotDone when time is up, and what `done` raises."""
        deadline = time.monotonic() + within_s
        while True:
            found = self.get(kind, name)
            if found is not None and done(found):
                return found
            if time.monotonic() > deadline:
                state = (found or {}).get("status", "it is not there")
                raise NotDone(f"{kind.plural}/{name} is not ready after {within_s:g} s: {state}")
            time.sleep(LOOK_EVERY_S)


def called(question: Any, *arguments: Any, **options: Any) -> Any:
    """Ask the cluster. Raises ClusterAway."""
    try:
        return question(*arguments, _request_timeout=TIMEOUT_S, **options)
    except ApiException as error:
        raise ClusterAway(f"the cluster refuses: {error.status} {error.reason}") from error
    except urllib3.exceptions.HTTPError as error:
        raise ClusterAway(f"the cluster does not answer: {error}") from error


def state_of(pod: Any) -> PodState:
    """What the API says of a pod, in a person's words."""
    statuses = [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]
    main = pod.status.container_statuses or []
    return PodState(
        name=pod.metadata.name,
        ready=sum(each.ready for each in main),
        containers=len(pod.spec.containers),
        restarts=sum(each.restart_count for each in statuses),
        said=_reason(statuses) or pod.status.phase,
        node=pod.spec.node_name or "",
        done=pod.status.phase == "Succeeded",
    )


def _reason(statuses: Sequence[Any]) -> str:
    """Why a container waits or ended, where one does."""
    for each in statuses:
        for state in (each.state.waiting, each.state.terminated):
            if state is not None and state.reason not in (None, "Completed", "PodInitializing"):
                return str(state.reason)
    return ""
