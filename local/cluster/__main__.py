"""`python -m local.cluster`: what the Makefile's demo-up, demo-down, demo-status, demo-logs, cluster-prepare call."""

import os

import typer
from rich.console import Console

from local.__main__ import main as run
from local.cluster import chart, demo
from local.cluster import prepare as preparation
from local.cluster.settings import DemoSettings, load
from local.layout import Layout
from local.settings import ROOT
from local.settings import load as load_local
from services.operations.cluster.kube import ClusterAway

app = typer.Typer(
    help="The platform on Kubernetes.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


def _layout() -> Layout:
    return Layout(ROOT, load_local(os.environ).data_folder)


def _asker(settings: DemoSettings) -> demo.Ask:
    return lambda question: settings.yes or typer.confirm(question)


@app.command()
def up() -> None:
    """Build, install, wait, send the sample, print the table and the addresses."""
    settings, layout = load(os.environ), _layout()
    layout.data.mkdir(parents=True, exist_ok=True)
    demo.up(settings, layout, Console(), _asker(settings))


@app.command()
def down() -> None:
    """Remove the release and its namespace."""
    settings = load(os.environ)
    demo.down(settings, _layout(), Console(), _asker(settings))


@app.command()
def status() -> None:
    """Show each pod. Status 0 only when every one is ready."""
    if not demo.status(load(os.environ), Console()):
        raise typer.Exit(1)


@app.command()
def logs(part: str = typer.Argument("", help="A component, as flink or segment-api.")) -> None:
    """Follow the logs of a component's pods."""
    settings = load(os.environ)
    parts = sorted(
        each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]
        for each in chart.rendered(settings)
        if each["kind"] in ("Deployment", "StatefulSet")
    )
    if part not in parts:
        typer.echo(
            f"{'PART is not set' if not part else f'there is no part {part!r}'}; it is one of: {', '.join(parts)}"
        )
        raise typer.Exit(2)
    selector = f"app.kubernetes.io/component={part}"
    options = ("--all-containers", "--prefix", "--tail=200", "--follow", "--max-log-requests=20")
    os.execv(  # noqa: S606  it becomes kubectl, and takes its signals
        preparation.kubectl(), ["kubectl", "--namespace", settings.namespace, "logs", "--selector", selector, *options]
    )


@app.command()
def prepare() -> None:
    """Apply what a cluster needs first: k8s/."""
    typer.echo(preparation.prepare())


if __name__ == "__main__":
    run(app, (demo.DemoFailed, ClusterAway))
