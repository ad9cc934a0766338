"""Pods as a table."""

from collections.abc import Sequence

from rich.table import Table

from services.operations.cluster.kube import PodState


def table_of(pods: Sequence[PodState]) -> Table:
    """A row each."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("pod", "ready", "restarts", "state", "node"):
        table.add_column(title)
    for pod in pods:
        table.add_row(pod.name, f"{pod.ready}/{pod.containers}", str(pod.restarts), pod.said, pod.node)
    return table
