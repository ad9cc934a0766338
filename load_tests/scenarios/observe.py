"""What the platform of `make up` uses while a load runs: memory and processor of each part, restarts, consumer lag.

    python -m load_tests.scenarios.observe --out observed.jsonl --every 5

A line each look: `{"at", "rss_mib": {part: …}, "cpu_s": {part: …}, "pids": {part: …}, "lag": {group: …},
"disk_mib": {part: …}}`. A part's figures are those of its process and all below it, and of its folder of data. Ends
with SIGTERM, or when the platform does.
"""

import argparse
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from local import lag, services
from local.layout import Layout
from local.settings import ROOT, LocalSettings, load
from local.status import MIB, memory_of
from local.supervision import daemon
from local.supervision.client import SupervisorAway


def look(settings: LocalSettings, layout: Layout) -> dict[str, Any]:
    """One look. Raises SupervisorAway."""
    supervisor = daemon.connect(layout)
    pids = {name: each.pid for name, each in supervisor.programs().items() if each.pid}
    pids["supervisord"] = supervisor.pid()
    return {
        "at": time.time(),
        "rss_mib": {name: round(memory_of(pid, children=name != "supervisord") / MIB, 1) for name, pid in pids.items()},
        "cpu_s": {name: round(_cpu_s(pid, children=name != "supervisord"), 2) for name, pid in pids.items()},
        "pids": pids,
        "lag": _lag(settings),
        "disk_mib": {
            "kafka": _disk_mib(layout.kafka),
            "postgres": _disk_mib(layout.postgres),
            "checkpoints": _disk_mib(layout.checkpoints),
        },
    }


def _cpu_s(pid: int, *, children: bool) -> float:
    try:
        process = psutil.Process(pid)
        family = [process, *(process.children(recursive=True) if children else ())]
        times = [each.cpu_times() for each in family]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(each.user + each.system for each in times)


def _disk_mib(folder: Path) -> float:
    """What the files in it take up; those that go while it looks do not count."""
    blocks = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            blocks += file.stat(follow_symlinks=False).st_blocks
    return round(blocks * 512 / MIB, 2)


def _lag(settings: LocalSettings) -> Mapping[str, int | None]:
    try:
        return lag.by_group(services.kafka(settings))
    except lag.LagUnknown:
        return {}


def main() -> None:
    """Look until the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--every", type=float, default=5.0, help="seconds")
    asked = parser.parse_args()
    settings = load(os.environ)
    layout = Layout(ROOT, settings.data_folder)
    with asked.out.open("a", encoding="utf-8") as file:
        while True:
            began = time.monotonic()
            try:
                print(json.dumps(look(settings, layout)), file=file, flush=True)
            except SupervisorAway:
                return
            time.sleep(max(0.1, began + asked.every - time.monotonic()))


if __name__ == "__main__":
    main()
