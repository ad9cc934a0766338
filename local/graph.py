"""Does things in the order of what they need, as many at a time as can be.

The order is the standard library's `graphlib`; this module runs it on threads and stops at the first failure.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import CycleError, TopologicalSorter
from threading import Event

from local.model import Node


class WrongGraph(Exception):
    """The needs cannot be met: a circle, or a name that nothing has."""


def sorter(nodes: Sequence[Node]) -> TopologicalSorter[str]:
    """A prepared sorter of the nodes' names. Raises WrongGraph."""
    names = {node.name for node in nodes}
    for node in nodes:
        if unknown := set(node.needs) - names:
            raise WrongGraph(f"{node.name} needs {', '.join(sorted(unknown))}, which is not there")
    order: TopologicalSorter[str] = TopologicalSorter({node.name: node.needs for node in nodes})
    try:
        order.prepare()
    except CycleError as error:
        raise WrongGraph(f"a circle of needs: {' -> '.join(error.args[1])}") from error
    return order


def layers(nodes: Sequence[Node]) -> list[list[str]]:
    """The names in groups: each needs only what lies in groups before its own. For stopping, in reverse."""
    order = sorter(nodes)
    groups = []
    while order.is_active():
        ready = order.get_ready()
        groups.append(sorted(ready))
        order.done(*ready)
    return groups


def run(nodes: Sequence[Node], work: Callable[[Node], None], cancelled: Event) -> None:
    """Call `work` for every node, each when what it needs is done. After a failure nothing new begins.

    `cancelled` is set when a call failed, or when the wait itself is broken off (Ctrl-C): `work` should look at it
    while it waits. The first failure is raised when all calls have ended.
    """
    by_name = {node.name: node for node in nodes}
    order = sorter(nodes)
    with ThreadPoolExecutor(max_workers=len(nodes) or 1) as pool:
        running: dict[Future[None], str] = {}
        try:
            while order.is_active():
                for name in order.get_ready():
                    running[pool.submit(work, by_name[name])] = name
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    order.done(running.pop(future))
        except BaseException:
            cancelled.set()
            raise
