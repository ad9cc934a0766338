"""`make status`: each part's state, health, address, memory and restarts, and how far consumers are behind."""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil
from rich.console import Console
from rich.table import Table

from local import lag, services
from local.kafka.part import NAME as KAFKA
from local.layout import Layout
from local.model import NotReady, Part, Platform
from local.settings import LocalSettings
from local.supervision import daemon
from local.supervision.client import Program, SupervisorAway

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One part as it is now."""

    part: Part
    program: Program | None
    healthy: bool
    said: str
    memory_bytes: int
    restarts: int


def show(settings: LocalSettings, layout: Layout, platform: Platform, console: Console) -> bool:
    """Print the table. True when every part is healthy."""
    try:
        supervisor = daemon.connect(layout)
    except SupervisorAway:
        console.print("The platform does not run. `make up` starts it.")
        return False
    programs = supervisor.programs()
    spawned = spawns(daemon_log(layout))
    rows = look(platform.parts, programs, spawned)
    own = memory_of(supervisor.pid(), children=False)
    console.print(table(rows, own))
    if settings.services and programs[KAFKA].pid:
        console.print(f"Consumer lag: {lag_text(settings)}", highlight=False)
    return all(row.healthy for row in rows)


def look(parts: Sequence[Part], programs: Mapping[str, Program], spawned: Mapping[str, int]) -> list[Row]:
    """Ask every part at once: one that hangs does not keep the others waiting."""

    def row(part: Part) -> Row:
        program = programs.get(part.name)
        healthy, said = False, "not started"
        if program is not None and program.pid:
            try:
                healthy, said = True, part.probe()
            except NotReady as error:
                healthy, said = False, str(error)
        elif program is not None:
            said = f"{program.state.lower()}: {program.said}"
        memory = memory_of(program.pid) if program is not None and program.pid else 0
        return Row(part, program, healthy, said, memory, max(0, spawned.get(part.name, 0) - 1))

    with ThreadPoolExecutor(max_workers=len(parts)) as pool:
        return list(pool.map(row, parts))


def table(rows: Sequence[Row], supervisor_bytes: int) -> Table:
    """The rows and their sum."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("part", "state", "address", "pid", "memory", "restarts", "says"):
        shown.add_column(title, justify="right" if title in ("pid", "memory", "restarts") else "left")
    for row in rows:
        state = "[green]healthy[/green]" if row.healthy else "[red]not healthy[/red]"
        pid = str(row.program.pid) if row.program is not None and row.program.pid else "-"
        memory = f"{row.memory_bytes / MIB:.0f} MiB"
        shown.add_row(row.part.name, state, row.part.address, pid, memory, str(row.restarts), row.said)
    total = supervisor_bytes + sum(row.memory_bytes for row in rows)
    shown.add_row("supervisord", "", "", "", f"{supervisor_bytes / MIB:.0f} MiB", "", "")
    shown.add_row("[bold]all[/bold]", "", "", "", f"[bold]{total / MIB:.0f} MiB[/bold]", "", "")
    return shown


def memory_of(pid: int, *, children: bool = True) -> int:
    """Resident memory of a process and its children, in bytes: what several share is counted once (PSS).

    Where the system does not tell that of another account's process, its resident set stands in.
    """
    try:
        process = psutil.Process(pid)
        family = [process, *(process.children(recursive=True) if children else ())]
    except psutil.NoSuchProcess:
        return 0
    return sum(_resident(each) for each in family)


def _resident(process: psutil.Process) -> int:
    try:
        pss: int = process.memory_full_info().pss
    except psutil.NoSuchProcess:
        return 0
    except psutil.AccessDenied:
        try:
            return process.memory_info().rss
        except psutil.NoSuchProcess:
            return 0
    return pss


def daemon_log(layout: Layout) -> str:
    """supervisord's log, with the one before it where it has been rotated."""
    log = layout.log_of("supervisord")
    files = [log.with_name(log.name + ".1"), log]
    return "".join(file.read_text(errors="replace") for file in files if file.exists())


def spawns(log: str) -> dict[str, int]:
    """How often each program has been started since the last start of supervisord, which itself keeps no count."""
    counts: dict[str, int] = {}
    for line in log[max(0, log.rfind("supervisord started with pid")) :].splitlines():
        if found := re.search(r"INFO spawned: '([^']+)' with pid", line):
            counts[found[1]] = counts.get(found[1], 0) + 1
    return counts


def lag_text(settings: LocalSettings) -> str:
    """How far each consumer group is behind, in words."""
    try:
        found = lag.by_group(services.kafka(settings))
    except lag.LagUnknown as error:
        return f"unknown ({error})"
    return ", ".join(f"{group} {'nothing read yet' if n is None else f'{n:,}'}" for group, n in found.items())
