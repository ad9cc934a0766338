"""Runs a platform of its own for tests: the commands that people run, on ports that nobody holds."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from local import ports, services
from local.layout import Layout
from local.postgres.part import dsn
from local.settings import PORT_FIELDS, PREFIX, ROOT, LocalSettings
from local.supervision import daemon
from local.supervision.client import Program

FIRST_OFFSET = 11_000
"""All ports stay below 32,768, from where on the system gives them to clients: those are taken now and then."""
OFFSET_STEP = 100
OFFSETS_TRIED = 50


@dataclass(frozen=True, slots=True)
class LocalPlatform:
    """Where a platform's parts are, and its commands. `settings` are those that it was started with."""

    settings: LocalSettings
    variables: Mapping[str, str] = field(default_factory=dict)
    write_key: str = "demo-write-key"
    api_token: str = "demo-api-token"

    @property
    def layout(self) -> Layout:
        return Layout(ROOT, self.settings.data_folder)

    @property
    def ingest_url(self) -> str:
        return services.url(self.settings, "ingest_port")

    @property
    def segments_url(self) -> str:
        return services.url(self.settings, "segments_port")

    @property
    def projection_url(self) -> str:
        return services.url(self.settings, "projection_port")

    @property
    def flink_url(self) -> str:
        return services.url(self.settings, "flink_rest_port")

    @property
    def kafka_bootstrap(self) -> str:
        return f"127.0.0.1:{self.settings.port('kafka_port')}"

    @property
    def postgres_dsn(self) -> str:
        return dsn(self.settings)

    def programs(self) -> Mapping[str, Program]:
        """The parts as supervisord sees them."""
        return daemon.connect(self.layout).programs()

    def local(self, *arguments: str, within_s: float = 400) -> subprocess.CompletedProcess[str]:
        """Run ``python -m local``; both streams are in its output."""
        return subprocess.run(  # noqa: S603
            self._command(*arguments),
            env=self._environment(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within_s,
            check=False,
        )

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        """Begin ``python -m local`` and do not wait for it."""
        return subprocess.Popen(  # noqa: S603
            self._command(*arguments),
            env=self._environment(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def up(self) -> str:
        """Start it; its output. Fails with the output where it does not become ready."""
        done = self.local("up")
        assert done.returncode == 0, done.stdout
        return done.stdout

    def kill(self, part: str) -> int:
        """Kill a part as hard as can be; the id of the process that it was."""
        pid = self.programs()[part].pid
        os.kill(pid, signal.SIGKILL)
        return pid

    def family(self) -> list[psutil.Process]:
        """supervisord and everything below it."""
        head = psutil.Process(daemon.connect(self.layout).pid())
        return [head, *head.children(recursive=True)]

    def processes(self) -> list[psutil.Process]:
        """Every process on the machine that names the data folder in its command, whoever its parent is now."""
        return [each for each in psutil.process_iter() if str(self.layout.data) in " ".join(_command_of(each))]

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "local", *arguments]

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "AUDIENCE_"))}
        return {**ours, **self.variables}


def _command_of(process: psutil.Process) -> Sequence[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return ()


def free_offset() -> int:
    """An offset by which no port of a platform is in use."""
    for offset in range(FIRST_OFFSET, FIRST_OFFSET + OFFSETS_TRIED * OFFSET_STEP, OFFSET_STEP):
        moved = LocalSettings(port_offset=offset)
        if all(ports.is_free(moved.port(name)) for name in PORT_FIELDS):
            return offset
    raise AssertionError("no free ports for a test platform")


def platform_in(data: Path, **settings: str) -> LocalPlatform:
    """A platform with its data in `data` and the settings given, on free ports; not started."""
    chosen = {"data": str(data), "port_offset": str(free_offset()), "sample": "0", **settings}
    variables = {PREFIX + name.upper(): value for name, value in chosen.items()}
    return LocalPlatform(LocalSettings.model_validate(chosen), variables)


@contextmanager
def stopped_afterwards(platform: LocalPlatform) -> Iterator[LocalPlatform]:
    """Whatever happens, nothing of the platform runs on."""
    try:
        yield platform
    finally:
        platform.local("down")
        for left in platform.processes():
            left.kill()


def wait_until(what: str, true: Callable[[], bool], within_s: float = 120) -> None:
    """Wait for it; fail with `what` when it does not come true."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.2)


@contextmanager
def listening(port: int) -> Iterator[None]:
    """Hold a port."""
    with socket.create_server(("127.0.0.1", port)):
        yield
