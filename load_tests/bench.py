"""Every benchmark one after the other, in at most so many minutes, and one summary of what they found.

    python -m load_tests.bench --minutes 15

Each is a process of its own, with its output in reports/logs. One for which the time no longer suffices, that fails, or
whose results are not of the shape of `load_tests.figures`, is named in the summary, with why: a figure is never missing
in silence. Needs the platform of `make up`. Status 1 where a figure misses its floor or a benchmark has not run.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from load_tests import figures
from load_tests.compare import cell, number
from load_tests.figures import Figure, Result
from load_tests.machine import machine
from load_tests.targets import TARGETS
from local.layout import Layout
from local.settings import ROOT, load

REPORTS: Final = ROOT / "load_tests/reports"


@dataclass(frozen=True, slots=True)
class Bench:
    """One benchmark: its module with its options (`{out}` is its report without ending), how long it takes.

    `environment` names the virtual environment that it runs in, `report` the file that it writes.
    """

    name: str
    module: str
    options: tuple[str, ...]
    seconds: float
    environment: str = ".venv"
    report: str = "{out}.json"


BENCHES: Final = (
    Bench("engine", "load_tests.engine.bench", ("--report", "{out}"), 110),
    Bench("latency", "load_tests.latency", ("--lives", "3", "--json", "{out}.json"), 75),
    Bench("ingest", "load_tests.bench_ingest", ("--runs", "5", "--seconds", "5", "--report", "{out}"), 110),
    Bench(
        "api",
        "load_tests.bench_api",
        ("--profiles", "100000", "--runs", "5", "--seconds", "3", "--report", "{out}"),
        130,
    ),
    Bench(
        "load",
        "load_tests.scenarios",
        ("demo", "--seconds", "60", "--report", "{out}"),
        90,
        environment=".venv-load",
        report="{out}/demo/report.json",
    ),
    Bench("platform", "load_tests.bench_platform", ("--runs", "3", "--json", "{out}.json"), 90),
    Bench(
        "job",
        "load_tests.job.bench",
        ("--variants", "heap,rocksdb", "--quix-python", ".venv-peers/bin/python", "--report", "{out}"),
        200,
    ),
    Bench("history", "load_tests.bench_history", ("--runs", "3", "--report", "{out}"), 150),
    Bench("backfill", "load_tests.bench_backfill", ("--runs", "2", "--report", "{out}"), 400),
    Bench("peers", "load_tests.peers", ("--runs", "2", "--report", "{out}"), 120),
)


@dataclass(frozen=True, slots=True)
class Left:
    """A benchmark that gave no figures, and why."""

    name: str
    why: str


def run(bench: Bench, out: Path, ends_s: float, log: Path) -> list[Result] | Left:
    """Its results, or why there are none."""
    if find_spec(bench.module) is None:
        return Left(bench.name, "there is no such benchmark")
    left_s = ends_s - time.monotonic()
    if left_s < bench.seconds:
        return Left(bench.name, f"it takes about {bench.seconds:.0f} s, and {max(0.0, left_s):.0f} s were left")
    path = Path(bench.report.format(out=out))
    path.unlink(missing_ok=True)
    python = ROOT / bench.environment / "bin/python"
    command = [str(python), "-m", bench.module, *(each.format(out=out) for each in bench.options)]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)  # noqa: S603  our own modules
        try:
            status = process.wait(left_s)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait(60)
            return Left(bench.name, "it was not done when the time was up")
    if not path.exists():
        return Left(bench.name, f"it ended with status {status}: {_last(log)}")
    try:
        return figures.read(path)
    except figures.NotFigures as error:
        return Left(bench.name, str(error))


def _last(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"


def markdown(results: Sequence[Result], left: Sequence[Left], seconds: float) -> str:
    """The summary as a page."""
    found = {each.name: each for result in results for each in result.figures}
    lines = [
        "# Benchmarks",
        "",
        f"{machine()}. Commit {figures.commit() or 'unknown'}, {seconds / 60:.0f} minutes in all.",
        "Medians, with the range of the runs. The load generator, where there is one, runs on the same machine.",
        "",
        "| | measured | target | floor | |",
        "|---|---|---|---|---|",
    ]
    words = {"target": "target", "floor": "floor", "missed": "**missed**"}
    for name, target in TARGETS.items():
        each = found.get(name)
        verdict = "not measured" if each is None else words[each.verdict]
        lines.append(f"| {name} | {cell(each)} | {number(target.target)} | {number(target.floor)} | {verdict} |")
    rest = [each for each in found.values() if each.name not in TARGETS]
    if rest:
        lines += ["", "| also | measured |", "|---|---|", *(f"| {each.name} | {cell(each)} |" for each in rest)]
    if left:
        lines += ["", "Not measured:", "", *(f"- {each.name}: {each.why}" for each in left)]
    busiest = max((result.machine.get("load_1m", 0.0) for result in results), default=0.0)
    cores = os.cpu_count() or 1
    if busiest > 2 * cores:
        lines += ["", f"The load average reached {busiest:.0f} on {cores} cores: others used the machine meanwhile."]
    return "\n".join(lines) + "\n"


def missed(results: Sequence[Result]) -> list[Figure]:
    """The figures below their floors."""
    return [each for result in results for each in result.figures if each.verdict == "missed"]


def plot(results: Sequence[Result], folder: Path) -> None:
    """Cost against rules, and every figure against its target."""
    from load_tests import plots

    told: dict[str, Any] = {result.bench: result.details for result in results}
    if "engine" in told:
        rows: list[Mapping[str, Any]] = told["engine"]["results"]
        curves = {
            "median": [(each["rules"], each["median_us"]) for each in rows],
            "least": [(each["rules"], each["least_us"]) for each in rows],
            "most": [(each["rules"], each["most_us"]) for each in rows],
        }
        limits = {"target at 1,000 rules": 20.0}
        title = "Engine: processor time of an event"
        svg = plots.lines(title, curves, x="rules", y="us", limits=limits, log="xy", marker="o-")
        plots.write(folder / "engine.svg", svg)
    shares = {}
    for result in results:
        for each in result.figures:
            if each.target is not None and each.value:
                shares[each.name] = each.value / each.target if each.better == "higher" else each.target / each.value
    if shares:
        plots.write(folder / "summary.svg", plots.bars("Share of the target (1 reaches it)", shares, line=1.0))


def main() -> int:
    """Run them, and write summary.md, summary.json and the plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--only", action="append", choices=[each.name for each in BENCHES])
    parser.add_argument("--out", type=Path, default=REPORTS)
    asked = parser.parse_args()
    console = Console() if sys.stdout.isatty() else Console(width=140)
    Layout(ROOT, load(os.environ).data_folder).require_installed()
    began = time.monotonic()
    ends_s = began + 60 * asked.minutes
    (asked.out / "logs").mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    left: list[Left] = []
    for bench in BENCHES:
        if asked.only and bench.name not in asked.only:
            continue
        with console.status(f"{bench.name}, about {bench.seconds:.0f} s …"):
            found = run(bench, asked.out / bench.name, ends_s, asked.out / "logs" / f"{bench.name}.log")
        if isinstance(found, Left):
            left.append(found)
            console.print(f"{bench.name}: {found.why}", style="red", highlight=False)
        else:
            results += found
            console.print(f"{bench.name}: {sum(len(each.figures) for each in found)} figures", highlight=False)
    seconds = time.monotonic() - began
    page = markdown(results, left, seconds)
    (asked.out / "summary.md").write_text(page, encoding="utf-8")
    told = {
        "schema": "summary/1",
        "seconds": round(seconds, 1),
        "left": [asdict(each) for each in left],
        "results": [each.to_json() for each in results],
    }
    (asked.out / "summary.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    plot(results, asked.out)
    console.print(page, markup=False, highlight=False)
    return int(bool(left or missed(results)))


if __name__ == "__main__":
    sys.exit(main())
