"""Several processes behind one port, for a service whose work is bound by one core (docs/adr/0014).

uvicorn's supervisor starts them on one listening socket, and starts one that dies again; a connection that waits to be
accepted outlives the process that dies. Their metrics add up: each writes its values into files of a folder, and
whichever is asked reads all of them. They end when the process that started them ends, however it does.
"""

import asyncio
import multiprocessing
import os
import re
import signal
import tempfile
from pathlib import Path
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from uvicorn.supervisors import Multiprocess

from services._kit.server import config_of
from services._kit.settings import ServiceSettings

_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The client's own variable. It is read when the client is imported, so it is set before a process starts."""

_HUNG_S: Final = 30
"""A process whose interpreter does not answer for so long is ended and started again."""

_LIVE: Final = re.compile(r"gauge_live[a-z]*_([0-9]+)\.db")
_LOOK_S: Final = 1.0


def cores() -> int:
    """How many cores this process may use. A quota of a container is not seen: set the number there."""
    return len(os.sched_getaffinity(0))


def serve_processes(factory: str, settings: ServiceSettings, processes: int) -> None:
    """Serve what `factory` (``module:function``) makes, in so many processes; returns after a graceful stop."""
    with tempfile.TemporaryDirectory(prefix="audience-metrics-") as folder:
        os.environ[_FOLDER] = folder
        config = config_of(factory, settings, workers=processes, timeout_worker_healthcheck=_HUNG_S)
        Multiprocess(config, sockets=[config.bind_socket()]).run()


def several() -> bool:
    """Whether this is one of several processes."""
    return _FOLDER in os.environ


async def end_with_parent() -> None:
    """Stop this process gracefully when the one that started it is gone: it would hold the port, and nobody it."""
    parent = multiprocessing.parent_process()
    while parent is not None and os.getppid() == parent.pid:  # noqa: ASYNC110  there is no event to wait for
        await asyncio.sleep(_LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)


def process_registry() -> CollectorRegistry:
    """A registry; with the figures of the process, where it is the only one."""
    registry = CollectorRegistry()
    if not several():
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """What `/metrics` answers: this process's values, or those of all that share the port."""
    if not several():
        return generate_latest(registry)
    folder = os.environ[_FOLDER]
    for path in Path(folder).iterdir():
        found = _LIVE.fullmatch(path.name)
        if found is not None and not Path(f"/proc/{found[1]}").exists():
            mark_process_dead(int(found[1]), folder)  # type: ignore[no-untyped-call]
    together = CollectorRegistry()
    MultiProcessCollector(together, folder)  # type: ignore[no-untyped-call]
    return generate_latest(together)
