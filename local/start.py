"""Starts the platform: each part when what it needs is healthy, steps in between, and all of it again on Ctrl-C.

Refuses to start a part whose port somebody else holds, and two starts of one platform at a time.
"""

import fcntl
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from types import FrameType
from typing import NoReturn

from local import graph, java, ports
from local.layout import Layout
from local.model import Node, NotReady, Part, Platform
from local.progress import Progress
from local.settings import LocalSettings
from local.supervision import config, daemon
from local.supervision.client import RUNNING, STARTING, Supervisor

LOOK_EVERY_S = 0.25
LOG_LINES_SHOWN = 20


class StartFailed(Exception):
    """A part did not become healthy; the message holds the end of its log."""


class Cancelled(Exception):
    """Another node failed, or somebody pressed Ctrl-C, while this one was waited for."""


@dataclass(slots=True)
class Start:
    """One start. `began` collects the programs that it started, which Ctrl-C stops again."""

    settings: LocalSettings
    layout: Layout
    platform: Platform
    environ: Mapping[str, str]
    progress: Progress
    owns_supervisor: bool = False
    began: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Start everything. Raises StartFailed, PortInUse, CommandFailed; KeyboardInterrupt when stopped."""
        self.layout.make()
        text = config.render(self.platform, self.layout)
        same = daemon.runs_with(self.layout, text)
        if same is False:
            self.progress.say("The settings have changed: stopping the platform first.")
            stop(self.layout, self.platform)
        if not same:
            self.owns_supervisor = True
            self.layout.clear_temporary()
            daemon.start(self.layout, text, self.environ)
        cancelled = Event()
        graph.run(self.platform.nodes, lambda node: self._do(node, cancelled), cancelled)

    def undo(self) -> None:
        """Stop what this start began; a platform that ran before goes on with what it had."""
        if self.owns_supervisor:
            stop(self.layout, self.platform)
            return
        supervisor = daemon.connect(self.layout)
        for name in reversed(self.began):
            supervisor.stop(name, wait=True)

    def _do(self, node: Node, cancelled: Event) -> None:
        if cancelled.is_set():
            raise Cancelled
        began = time.monotonic()
        if isinstance(node, Part):
            said = self._start(node, cancelled)
        else:
            node.run()
            said = ""
        self.progress.done(node, time.monotonic() - began, said)

    def _start(self, part: Part, cancelled: Event) -> str:
        supervisor = Supervisor(self.layout.supervisor_socket)
        if supervisor.programs()[part.name].state not in (RUNNING, *STARTING):
            ports.require_free(part.title, part.ports)
            self.began.append(part.name)
            supervisor.start(part.name)
        return self._wait(part, supervisor, cancelled)

    def _wait(self, part: Part, supervisor: Supervisor, cancelled: Event) -> str:
        deadline = time.monotonic() + self.settings.start_timeout_s
        while not cancelled.wait(LOOK_EVERY_S):
            try:
                said = part.probe()
            except NotReady as error:
                seen = str(error)
            else:
                if supervisor.programs()[part.name].state == RUNNING:
                    return said
                seen = "has only just been started"
            program = supervisor.programs()[part.name]
            if program.state == "FATAL":
                raise StartFailed(self._failure(part, f"ends at once each time it is started ({program.said})"))
            if time.monotonic() > deadline:
                limit = self.settings.start_timeout_s
                raise StartFailed(self._failure(part, f"was not healthy within {limit:g} s: {seen}"))
        raise Cancelled

    def _failure(self, part: Part, what: str) -> str:
        log = self.layout.log_of(part.name)
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:] if log.exists() else []
        end = "\n".join(f"    {line}" for line in lines)
        return f"{part.title} {what}\nThe end of {log}:\n{end}"


def stop(layout: Layout, platform: Platform) -> bool:
    """Stop the platform, those first that others do not need. False where it did not run."""
    names = {part.name for part in platform.parts}
    order = [[name for name in group if name in names] for group in reversed(graph.layers(platform.nodes))]
    ran = daemon.stop(layout, order)
    java.keep_archives(layout)
    return ran


@contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """One start or stop of a platform at a time; another one waits for it."""
    layout.make()
    with (layout.run / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartFailed("another `make up`, `make down` or `make reset` of this platform is at work") from error
        yield


def interruptible() -> None:
    """Let TERM and HUP (a closed terminal) end a start just as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def deaf() -> None:
    """Let nothing break off the stopping."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
