"""PostgreSQL as it was at some moment: a second cluster from the backups, and a Job that copies it over the first.

The first cluster stays, with its address, its Secrets and its backups. What it held is replaced in one transaction, so
that nobody sees half of it. What was written after that moment is in Kafka still: `audience-ops stores repair` brings
profiles and memberships up to date.
"""

from collections.abc import Mapping
from typing import Any, Final

from services.operations.cluster.kube import JOBS, POSTGRES, Kind, Namespace, NotDone

LIVE: Final = "postgres"
NAME: Final = "postgres-restore"
DATABASE: Final = "audience"
COMPONENT: Final = "app.kubernetes.io/component"
SCRIPT: Final = """\
set -eu
dump="${TMPDIR:-/tmp}/before.dump"
pg_dump --format=custom --no-owner --no-acl --file="$dump" "$BEFORE"
pg_restore --clean --if-exists --no-owner --no-acl --single-transaction --dbname="$LIVE" "$dump"
echo restored
"""


def second_cluster(live: Mapping[str, Any], at: str | None) -> dict[str, Any]:
    """One instance from the backups of the live cluster, at the moment given or the newest. Raises NotDone."""
    spec = live["spec"]
    store = spec.get("backup", {}).get("barmanObjectStore")
    if store is None:
        raise NotDone(f"the cluster {LIVE} has no backups")
    recovery: dict[str, Any] = {"source": "before", "database": DATABASE, "owner": DATABASE}
    if at is not None:
        recovery["recoveryTarget"] = {"targetTime": at}
    taken = ("imageName", "resources", "storage", "priorityClassName", "inheritedMetadata")
    return {
        "apiVersion": "/".join(POSTGRES.words),
        "kind": "Cluster",
        "metadata": {"name": NAME, "labels": live["metadata"].get("labels", {})},
        "spec": {
            **{key: spec[key] for key in taken if key in spec},
            "instances": 1,
            "bootstrap": {"recovery": recovery},
            # The backups lie under the name of the cluster that wrote them.
            "externalClusters": [{"name": "before", "barmanObjectStore": {**store, "serverName": LIVE}}],
        },
    }


def copying_job(image: str, before: str, live: str, name: str = NAME) -> dict[str, Any]:
    """A Job that copies one database over another: `before` and `live` are Secrets with the key `uri`."""
    variables = [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": "uri"}}}
        for variable, secret in (("BEFORE", before), ("LIVE", live))
    ]
    container = {
        "name": "restore",
        "image": image,
        "command": ["sh", "-c", SCRIPT],
        "env": variables,
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  a volume of the pod
    }  # fmt: skip
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": 26, "runAsGroup": 26, "fsGroup": 26,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }  # fmt: skip
    # As one of PostgreSQL's own pods, it may call the others: that is what the network policies know.
    labels = {COMPONENT: LIVE, "app.kubernetes.io/part-of": "audience-manager"}
    return {
        "apiVersion": "/".join(JOBS.words),
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def restore(namespace: Namespace, at: str | None, within_s: float, say: Any) -> None:
    """Do it. What was made for it is removed at the end, but for the Job of a copy that failed. Raises NotDone."""
    live = namespace.get(POSTGRES, LIVE)
    if live is None:
        raise NotDone(f"there is no cluster {LIVE} of CloudNativePG in {namespace.name}")
    for kind in (POSTGRES, JOBS):
        if namespace.get(kind, NAME) is not None:
            raise NotDone(f"{kind.plural}/{NAME} is there: another restore runs, or ended so; delete it first")
    say(f"a second cluster is made from the backups, {f'as of {at}' if at else 'the newest there is'}")
    namespace.create(POSTGRES, second_cluster(live, at))
    try:
        namespace.wait_for(POSTGRES, NAME, _answers, within_s)
        say(f"it is copied over {LIVE}")
        namespace.create(JOBS, copying_job(live["spec"]["imageName"], f"{NAME}-app", f"{LIVE}-app"))
        namespace.wait_for(JOBS, NAME, _copied, within_s)
        namespace.delete(JOBS, NAME)
    finally:
        _remove(namespace, POSTGRES)
    say("restored; `audience-ops stores repair` brings it up to what Kafka has")


def _remove(namespace: Namespace, kind: Kind) -> None:
    if namespace.get(kind, NAME) is not None:
        namespace.delete(kind, NAME)


def _answers(cluster: Mapping[str, Any]) -> bool:
    return int(cluster.get("status", {}).get("readyInstances", 0)) >= 1


def _copied(job: Mapping[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in job.get("status", {}).get("conditions", [])}
    if conditions.get("Failed") == "True":
        raise NotDone(f"the copy failed, and changed nothing: kubectl logs job/{NAME}")
    return conditions.get("Complete") == "True"
