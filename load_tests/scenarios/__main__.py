"""Drive a platform by a scenario, judge it by the service levels of its column, and report.

    python -m load_tests.scenarios demo
    python -m load_tests.scenarios demo --target https://audience.example --write-key ... --token ...
    python -m load_tests.scenarios production-shape --scale 0.1 --processes 2
    python -m load_tests.scenarios soak --rate 2500 --seconds 3600 --resume

Without --target, the platform of `make up` in this environment. A target is the address of an ingress that leads to
both APIs; --ingest and --segments name them one by one. Segments with the tag `load` are made before and removed after.
Status 0 only where every objective is met; 2 where the platform cannot be driven.
"""

import argparse
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from load_tests.scenarios import measuring, report
from load_tests.scenarios.driving import CannotDrive, drive
from load_tests.scenarios.objectives import OBJECTIVES, SOAK, Objective, judge, passed
from load_tests.scenarios.plan import SCENARIOS, Scenario
from local.settings import ROOT, load

HOST: Final = "127.0.0.1"
WIDTH_OF_FILES: Final = 140
REPORTS: Final = ROOT / "load_tests/reports"


def shaped(asked: argparse.Namespace) -> Scenario:
    """The scenario as the options change it."""
    scenario = SCENARIOS[asked.scenario]
    if asked.scale:
        scenario = scenario.scaled(asked.scale)
    if asked.rate:
        scenario = replace(scenario.scaled(asked.rate / scenario.events_per_s), users=scenario.users)
    if asked.seconds:
        scenario = scenario.lasting(asked.seconds)
    if asked.segment_count is not None:
        scenario = replace(scenario, segments=asked.segment_count)
    return scenario


def objectives_of(scenario: Scenario, *, observed: bool) -> tuple[Objective, ...]:
    """What the scenario is judged by."""
    wanted = (*OBJECTIVES, *SOAK) if scenario.name == "soak" and observed else OBJECTIVES
    if scenario.segments:
        return wanted
    return tuple(each for each in wanted if each.measure not in ("evaluations_per_s", "explain_ms"))


def _prepared(folder: Path, *, resume: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not resume:
        for file in folder.iterdir():
            if file.suffix in (".jsonl", ".log") or file.name == "runs.json":
                file.unlink()


def main() -> int:
    """The command."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends, and what was made goes
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_OF_FILES)
    scenario = shaped(asked)
    folder = asked.report / scenario.name
    _prepared(folder, resume=asked.resume)
    console.print(
        f"{scenario.name}: {scenario.events_per_s:,.0f} events/s, {scenario.requests_per_s:,.0f} API requests/s, "
        f"{scenario.users:,} users, {scenario.seconds:,.0f} s, against {asked.ingest} and {asked.segments}",
        highlight=False,
    )
    try:
        drive(scenario, asked, folder, console)
    except CannotDrive as error:
        console.print(f"load: {error}", style="red", highlight=False)
        return 2
    found = measuring.load(folder)
    measured = measuring.measures(scenario, found)
    rows = judge(scenario, measured, objectives_of(scenario, observed=asked.local))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in (f"{scenario.column} column", "wanted", "measured", ""):
        table.add_column(title)
    for row in report.cells(rows):
        table.add_row(*row, style="" if row[-1] == "pass" else "red")
    console.print(table)
    for note in report.notes(scenario, measured):
        console.print(note, highlight=False)
    target = asked.target or "the platform of make up"
    report.write(folder, scenario, rows, found, measured, target, f"make load-demo SCENARIO={scenario.name}")
    console.print(f"{folder / 'report.html'}", highlight=False, soft_wrap=True)
    return int(not passed(rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", choices=sorted(SCENARIOS))
    parser.add_argument("--target", default="", help="the address of an install; empty: that of `make up`")
    parser.add_argument("--ingest", default="", help="the ingest API, where it has an address of its own")
    parser.add_argument("--segments", default="", help="the segment API, where it has an address of its own")
    parser.add_argument("--write-key", default=os.environ.get("AUDIENCE_WRITE_KEY", "demo-write-key"))
    parser.add_argument("--token", default=os.environ.get("AUDIENCE_API_TOKEN", "demo-api-token"))
    parser.add_argument("--scale", type=float, help="so many times the scenario's rates and users")
    parser.add_argument("--rate", type=float, help="events a second; API requests in proportion")
    parser.add_argument("--seconds", type=float, help="the whole scenario's length")
    parser.add_argument("--segment-count", type=int, help="how many segments are made")
    parser.add_argument("--processes", type=int, default=1, help="of the load generator")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--canary-every", type=float, default=1.0, help="seconds")
    parser.add_argument("--canary-port", type=int, default=0, help="of the canary's metrics; 0: any")
    parser.add_argument("--resume", action="store_true", help="go on where the last run of this scenario ended")
    parser.add_argument("--keep", action="store_true", help="leave the segments")
    parser.add_argument("--report", type=Path, default=REPORTS, help="the folder of reports")
    asked = parser.parse_args()
    settings = load(os.environ)
    target = asked.target.rstrip("/")
    asked.local = not (target or asked.ingest or asked.segments)
    asked.ingest = asked.ingest.rstrip("/") or target or f"http://{HOST}:{settings.port('ingest_port')}"
    asked.segments = asked.segments.rstrip("/") or target or f"http://{HOST}:{settings.port('segments_port')}"
    return asked


if __name__ == "__main__":
    sys.exit(main())
