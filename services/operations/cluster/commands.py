"""`audience-ops cluster`: its commands."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from services.operations.cluster import restoring
from services.operations.cluster.kube import FLINK, ClusterAway, Namespace, NotDone
from services.operations.cluster.showing import table_of
from services.operations.running import fail

JOB: Final = "flink"

NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="Where the release is.")]
WithinOption = Annotated[float, typer.Option("--within", min=1, help="Seconds that it may take.")]
cluster = typer.Typer(help="The release on Kubernetes, by the cluster of KUBECONFIG.", no_args_is_help=True)


@contextmanager
def _told() -> Iterator[None]:
    """A failure ends the command with its message."""
    try:
        yield
    except (ClusterAway, NotDone) as error:
        fail(str(error))


@cluster.command("status")
def status(namespace: NamespaceOption) -> None:
    """Show each pod, and the streaming job. Status 0 only when all is well."""
    with _told():
        where = Namespace(namespace)
        pods, job = where.pods(), where.get(FLINK, JOB)
    Console().print(table_of(pods))
    well = bool(pods) and all(pod.healthy for pod in pods)
    if job is not None:
        state = _state(job)
        typer.echo(f"The job is {state or 'unknown'}, at parallelism {job['spec']['job']['parallelism']}.")
        well = well and state == "RUNNING"
    if not well:
        raise typer.Exit(1)


@cluster.command("rescale")
def rescale(parallelism: int, namespace: NamespaceOption, within_s: WithinOption = 600.0) -> None:
    """Run the streaming job at another parallelism: the operator takes a savepoint, and begins again from it."""
    with _told():
        where = Namespace(namespace)
        job = where.get(FLINK, JOB)
        if job is None:
            raise NotDone(f"no operator runs Flink in {namespace}: set flink.parallelism, and upgrade the release")
        slots = int(job["spec"]["flinkConfiguration"]["taskmanager.numberOfTaskSlots"])
        if parallelism < 1 or parallelism % slots:
            raise NotDone(f"a TaskManager has {slots} slots: take a multiple of it")
        where.patch(FLINK, JOB, {"spec": {"job": {"parallelism": parallelism}}})
        generation = (where.get(FLINK, JOB) or job)["metadata"]["generation"]
        where.wait_for(FLINK, JOB, lambda found: _runs(found, generation), within_s)
    typer.echo(
        f"The job runs at parallelism {parallelism}. Set flink.parallelism too, or the next upgrade takes it back."
    )


@cluster.command("restore")
def restore(
    namespace: NamespaceOption,
    at: Annotated[
        str | None, typer.Option("--at", help="The moment, as 2026-03-01T02:00:00Z; left out: the newest backup's.")
    ] = None,
    within_s: WithinOption = 3600.0,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Bring PostgreSQL back to a moment of its backups. What it holds now is replaced."""
    if not yes:
        typer.confirm("What PostgreSQL holds now is replaced. Go on?", abort=True)
    with _told():
        restoring.restore(Namespace(namespace), at, within_s, typer.echo)


def _state(job: Mapping[str, Any]) -> str:
    return str(job.get("status", {}).get("jobStatus", {}).get("state", ""))


def _runs(job: Mapping[str, Any], generation: int) -> bool:
    """Whether the operator has seen the change, and the job runs by it."""
    status = job.get("status", {})
    deployed = status.get("reconciliationStatus", {}).get("state") == "DEPLOYED"
    return status.get("observedGeneration", 0) >= generation and deployed and _state(job) == "RUNNING"
