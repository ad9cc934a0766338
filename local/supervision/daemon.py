"""Starts supervisord in the background and ends it, leaving no process of the platform behind."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from local.layout import Layout
from local.supervision.client import Supervisor, SupervisorAway

ANSWERS_WITHIN_S = 20.0
ENDS_WITHIN_S = 60.0
LOOK_EVERY_S = 0.05


class SupervisorFailed(Exception):
    """supervisord did not start, or did not end."""


def config_file(layout: Layout) -> Path:
    return layout.run / "supervisord.conf"


def connect(layout: Layout) -> Supervisor:
    """A client of the supervisord that runs. Raises SupervisorAway."""
    supervisor = Supervisor(layout.supervisor_socket)
    supervisor.pid()
    return supervisor


def runs_with(layout: Layout, text: str) -> bool | None:
    """Whether the supervisord that runs was started with this configuration; None where none runs."""
    try:
        connect(layout)
    except SupervisorAway:
        return None
    return config_file(layout).exists() and config_file(layout).read_text() == text


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What the parts inherit: enough to find commands and write text. A variable meant for a shell's programs
    (JAVA_TOOL_OPTIONS, PYTHONPATH, FLINK_HOME, …) would change a part in ways that nobody can see later."""
    path = given.get("PATH", os.defpath)
    if java_home := given.get("JAVA_HOME"):
        path = f"{java_home}/bin{os.pathsep}{path}"
    kept = {name: given[name] for name in ("HOME", "JAVA_HOME", "TMPDIR") if name in given}
    return {**kept, "PATH": f"{path}{os.pathsep}/usr/bin{os.pathsep}/bin", "LANG": "C.UTF-8"}


def start(layout: Layout, text: str, given: Mapping[str, str]) -> Supervisor:
    """Write the configuration and start supervisord, which goes into the background by itself."""
    file = config_file(layout)
    file.touch(mode=0o600)
    file.write_text(text)
    command = [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(file)]
    done = subprocess.run(
        command, env=environment(given), cwd=layout.root, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise SupervisorFailed(f"supervisord did not start:\n{done.stdout}{done.stderr}")
    deadline = time.monotonic() + ANSWERS_WITHIN_S
    while True:
        try:
            return connect(layout)
        except SupervisorAway as error:
            if time.monotonic() > deadline:
                raise SupervisorFailed(f"supervisord does not answer; see {layout.log_of('supervisord')}") from error
        time.sleep(LOOK_EVERY_S)


def stop(layout: Layout, order: Sequence[Sequence[str]]) -> bool:
    """Stop the programs group by group, then supervisord; False where none ran. Raises SupervisorFailed.

    supervisord by itself would stop them one after the other.
    """
    try:
        supervisor = connect(layout)
        pid = supervisor.pid()
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for group in order:
            _stop_group(supervisor, group)
        supervisor.shutdown()
    except SupervisorAway:
        return False
    _, left = psutil.wait_procs(family, timeout=ENDS_WITHIN_S)
    if left:
        raise SupervisorFailed(f"still there after {ENDS_WITHIN_S:g} s: {', '.join(str(each) for each in left)}")
    return True


def _stop_group(supervisor: Supervisor, group: Sequence[str]) -> None:
    """Tell all of the group to stop, and wait until they have; supervisord kills those that take too long."""
    there = supervisor.programs()
    names = [name for name in group if name in there]
    for name in names:
        supervisor.stop(name)
    deadline = time.monotonic() + ENDS_WITHIN_S
    while not all(supervisor.programs()[name].stopped for name in names):
        if time.monotonic() > deadline:
            raise SupervisorFailed(f"one of {', '.join(names)} does not stop; see its log in the data folder")
        time.sleep(LOOK_EVERY_S)
