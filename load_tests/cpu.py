"""Which part of a running platform used how much of the processor while a command ran.

    python -m load_tests.cpu --threads taskmanager-1 -- make up

Figures are CPU-seconds, user and system, of each part's process with all below it, ended ones too; the command and what
it started is a part of its own. `--threads` names parts whose threads are shown one by one: in a TaskManager they tell
evaluation, Kafka's client, the collector and the compiler apart. Needs a platform: `make up`.
"""

import argparse
import json
import os
import resource
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console
from rich.table import Table

from local.layout import Layout
from local.settings import ROOT, load
from local.supervision import daemon

TICKS_A_S: Final = os.sysconf("SC_CLK_TCK")
COMMAND: Final = "the command"


@dataclass(frozen=True, slots=True)
class Used:
    """CPU-seconds while the command ran, which took `wall_s`."""

    wall_s: float
    parts: Mapping[str, float]
    threads: Mapping[str, Mapping[str, float]]

    @property
    def total(self) -> float:
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class Look:
    """CPU-seconds that a part's process, the one of this id, has used since it was started."""

    pid: int
    used: float
    threads: Mapping[str, float]


def look(layout: Layout, threads: Sequence[str] = ()) -> dict[str, Look]:
    """Every part of the platform, and the threads of those named."""
    programs = [program for program in daemon.connect(layout).programs().values() if program.pid]
    return {
        each.name: Look(each.pid, of_family(each.pid), of_threads(each.pid) if each.name in threads else {})
        for each in programs
    }


def of_family(pid: int) -> float:
    """CPU-seconds of a process and all below it."""
    head = psutil.Process(pid)
    used = 0.0
    for process in (head, *head.children(recursive=True)):
        try:
            used += sum(process.cpu_times()[:4])  # its own, and that of children which have ended
        except psutil.NoSuchProcess:
            continue
    return used


def of_threads(pid: int) -> dict[str, float]:
    """CPU-seconds by the name of the thread, of one process."""
    found: Counter[str] = Counter()
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        except FileNotFoundError:  # it has just ended
            continue
        fields = rest.split()
        found[name] += (int(fields[11]) + int(fields[12])) / TICKS_A_S
    return dict(found)


def measure(layout: Layout, command: Sequence[str], threads: Sequence[str]) -> Used:
    """Run the command; what every part used meanwhile. Raises CalledProcessError where it fails."""
    before, own = look(layout, threads), _of_children()
    began = time.monotonic()
    subprocess.run(command, check=True)  # noqa: S603  what it was asked to run
    wall_s = time.monotonic() - began
    used = between(before, look(layout, threads), wall_s)
    return Used(wall_s, {**used.parts, COMMAND: round(_of_children() - own, 2)}, used.threads)


def between(before: Mapping[str, Look], after: Mapping[str, Look], wall_s: float) -> Used:
    """What each part used from one look to another; one that was started again meanwhile counts from its start."""
    nothing = Look(0, 0.0, {})
    pairs = {
        name: (found if (found := before.get(name, nothing)).pid == now.pid else nothing, now)
        for name, now in after.items()
    }
    return Used(
        wall_s,
        {name: round(now.used - was.used, 2) for name, (was, now) in pairs.items()},
        {name: _less(now.threads, was.threads) for name, (was, now) in pairs.items() if now.threads},
    )


def table(used: Used) -> Table:
    """The parts, the busiest first, and below each its threads where they are known."""
    shown = Table("part", "CPU-seconds", "share")
    for name, seconds in _busiest(used.parts):
        shown.add_row(name, f"{seconds:.1f}", f"{seconds / used.total:.0%}")
        for thread, of_thread in _busiest(used.threads.get(name, {})):
            if of_thread >= used.total / 200:
                shown.add_row(f"    {thread}", f"{of_thread:.1f}", "")
    shown.add_row(f"all, in {used.wall_s:.1f} s", f"{used.total:.1f}", "")
    return shown


def _busiest(found: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(found.items(), key=lambda each: -each[1])


def _less(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: round(seconds - before.get(name, 0.0), 2) for name, seconds in after.items()}


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", action="append", default=[], metavar="PART", help="show this part's threads")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("command", nargs="+", help="what to run, after --")
    asked = parser.parse_args()
    used = measure(Layout(ROOT, load(os.environ).data_folder), asked.command, asked.threads)
    Console().print(table(used))
    if asked.json:
        asked.json.write_text(json.dumps({**asdict(used), "load_1m": os.getloadavg()[0]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
