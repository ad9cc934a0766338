"""`make demo-up`, from nothing to the table of segments; `demo-down`; `demo-status`.

Refuses a cluster that is not this machine's unless somebody says yes, and one without the memory that it requests.
"""

import time
from collections.abc import Callable
from typing import Final

from rich.console import Console

from local.cluster import chart, images
from local.cluster.kube import MIB, Cluster
from local.cluster.settings import DemoSettings
from local.lag import GROUPS
from local.layout import Layout
from local.progress import Progress
from local.sample import job as sample
from services.operations.cluster.kube import ClusterAway
from services.operations.cluster.showing import table_of

NEEDED_BYTES: Final = int(5.5 * 1024) * MIB
LOOK_EVERY_S: Final = 3.0
APIS: Final = ("ingest-api", "segment-api")
Ask = Callable[[str], bool]


class DemoFailed(Exception):
    """The demo is not up; the message says what stands in the way."""


def up(settings: DemoSettings, layout: Layout, console: Console, ask: Ask) -> None:
    """Check, build, install, wait, load the sample, print the addresses."""
    progress = Progress(console)
    cluster = Cluster()
    resources = chart.rendered(settings)
    there = chart.installed(settings)
    _check(cluster, ask, there=there)
    images.provide(settings, chart.images(resources), progress)
    cluster.make_namespace(settings.namespace)
    if not there:
        layout.demo_sample.unlink(missing_ok=True)  # a new install knows nothing of an older one's history
    progress.say(f"{'Upgrading' if there else 'Installing'} {settings.release} in {settings.namespace} …")
    chart.install(settings)
    _wait(settings, cluster, progress)
    progress.say(f"[bold]The platform is ready after {progress.elapsed_s:.1f} s.[/bold]")
    ports = chart.node_ports(resources)
    node = settings.node or ("127.0.0.1" if cluster.context.local else cluster.node_address())
    if settings.sample:
        target = sample.Target(
            ingest=f"http://{node}:{ports['ingest-api']}",
            segments=f"http://{node}:{ports['segment-api']}",
            behind=lambda: behind(settings, cluster),
            plan=layout.demo_sample,
        )
        sample.run(target, layout.sample_file, console)
        progress.say(f"\nFrom nothing to the table: {progress.elapsed_s:.0f} s.")
    for name in APIS:
        progress.say(f"  {name:<14} http://{node}:{ports[name]}/docs")
    progress.say("\n  make demo-status           pods, restarts, consumer lag")
    progress.say("  make demo-logs PART=flink  what a part says")
    progress.say("  make demo-down             remove it all")


def down(settings: DemoSettings, layout: Layout, console: Console, ask: Ask) -> None:
    """Remove the release and its namespace."""
    cluster = Cluster()
    _agree(cluster, ask)
    if chart.installed(settings):
        chart.uninstall(settings)
    cluster.remove_namespace(settings.namespace)
    layout.demo_sample.unlink(missing_ok=True)
    console.print(f"Removed {settings.release} and the namespace {settings.namespace}.", highlight=False)


def status(settings: DemoSettings, console: Console) -> bool:
    """Print the pods and the lag. True when every pod is healthy."""
    cluster = Cluster()
    pods = cluster.pods(settings.namespace)
    console.print(table_of(pods))
    lag = behind(settings, cluster)
    console.print(f"Consumer lag: {'unknown' if lag is None else lag}", highlight=False)
    return bool(pods) and all(pod.healthy for pod in pods)


def behind(settings: DemoSettings, cluster: Cluster) -> int | None:
    """How far all consumer groups are behind together; None where one has read nothing, or nobody tells."""
    command = ["audience-ops", "topics", "lag", *GROUPS]
    try:
        lines = cluster.run_in(settings.namespace, "segment-api", "segment-api", command).splitlines()
    except ClusterAway:
        return None
    found = dict(line.split("\t") for line in lines if "\t" in line)
    numbers = [found.get(group, "-") for group in GROUPS]
    return None if "-" in numbers else sum(map(int, numbers))


def _agree(cluster: Cluster, ask: Ask) -> None:
    context = cluster.context
    if not context.local and not ask(f"The context is {context.name!r} ({context.server}). Go on there?"):
        raise DemoFailed("nothing was done; `kubectl config use-context` chooses another cluster")


def _check(cluster: Cluster, ask: Ask, *, there: bool) -> None:
    _agree(cluster, ask)
    if there:
        return
    free = cluster.free_memory()
    if free < NEEDED_BYTES:
        raise DemoFailed(
            f"the cluster has {free / MIB:,.0f} MiB for new pods; the demo requests {NEEDED_BYTES / MIB:,.0f}: "
            "give its virtual machine 8 GB, or stop something"
        )


def _wait(settings: DemoSettings, cluster: Cluster, progress: Progress) -> None:
    """Until every pod is ready. Says which became so, and what the others wait for when time is up."""
    deadline = time.monotonic() + settings.wait_s
    seen: set[str] = set()
    while True:
        pods = cluster.pods(settings.namespace)
        for pod in pods:
            if pod.healthy and pod.name not in seen:
                seen.add(pod.name)
                progress.say(f"  [green]✓[/green] {pod.name:<36} {progress.elapsed_s:5.1f} s")
        if pods and all(pod.healthy for pod in pods):
            return
        if time.monotonic() > deadline:
            waiting = ", ".join(f"{pod.name} ({pod.said})" for pod in pods if not pod.healthy)
            raise DemoFailed(f"not ready within {settings.wait_s} s: {waiting}; `kubectl describe pod` says more")
        time.sleep(LOOK_EVERY_S)
