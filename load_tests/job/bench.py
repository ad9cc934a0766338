"""The streaming job on preloaded Kafka: `make bench-job`.

    python -m load_tests.job.bench --events 1000000 --variants heap,rocksdb,process,key_by,quix

Starts Kafka and Flink (two TaskManagers of one slot) in a data folder of its own, fills `segments` and `events`, and
then runs each variant from the first event on, one after the other, for `--seconds` after it has warmed up:

- heap, rocksdb: the job as it is, in thread mode, on either state backend;
- process: Python in processes beside the TaskManagers;
- key_by: keyed by a Python function, a second crossing an event;
- quix: our engine hosted in Quix Streams, two processes (needs `--quix-python`, a Python with quixstreams).

Prints events a second, rule evaluations a second (rules that an event selects: load_tests/job/preload.py),
CPU-seconds a million events of all that runs, and what checkpoints took; writes them with `--report`. Memberships are
checked by the tests, in thread and process mode, and not here.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
from rich.console import Console
from rich.table import Table
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from audience.adapters.kafka.admin import lag
from load_tests.cpu import between, look, of_family
from load_tests.figures import Figure, figure, shown, write
from load_tests.job.preload import Load, preload
from load_tests.own_platform import PORT_OFFSET, own_platform
from local import services
from local.flink import jvm
from local.flink.part import JOB, address
from local.layout import Layout
from local.settings import ROOT, LocalSettings
from local.start import interruptible
from local.supervision import daemon

WARM_SHARE: Final = 0.1
"""Of the events, before anything is measured."""
LOOK_EVERY_S: Final = 1.0
GIVE_UP_S: Final = 900.0
COMMAND: Final = "make bench-job"
JOB_NAME: Final = "rule_evaluation"
SCRIPT: Final = ROOT / "flink_jobs/rule_evaluation/__main__.py"


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run it: the job's variables, and Flink's options."""

    name: str
    variables: Mapping[str, str]
    options: tuple[str, ...] = ()


VARIANTS: Final = (
    Variant("heap", {}, ("-Dstate.backend.type=hashmap",)),
    Variant("rocksdb", {}, ("-Dstate.backend.type=rocksdb",)),
    Variant("process", {"AUDIENCE_PYTHON_EXECUTION_MODE": "process"}, ("-Dstate.backend.type=hashmap",)),
    Variant("key_by", {"AUDIENCE_KEYING": "python"}, ("-Dstate.backend.type=hashmap",)),
)
QUIX: Final = "quix"


@dataclass(frozen=True, slots=True)
class Result:
    """One variant. `checkpoints_ms`: p50, p99 and largest, from the trigger to the end."""

    name: str
    events: int
    took_s: float
    cpu_s: Mapping[str, float]
    memory_mb: float
    checkpoints: int
    checkpoints_ms: tuple[float, float, float]
    state_mb: float
    load_1m: float

    @property
    def events_per_s(self) -> float:
        return self.events / self.took_s

    @property
    def cpu_s_per_million(self) -> float:
        return sum(self.cpu_s.values()) / self.events * 1e6


class Bench:
    """On a platform without services, and without the part that keeps the job running."""

    def __init__(self, settings: LocalSettings, cached_profiles: int) -> None:
        self.settings = settings
        self.layout = Layout(ROOT, settings.data_folder)
        self._cached_profiles = cached_profiles
        self._flink = httpx.Client(base_url=address(settings), timeout=20.0, trust_env=False)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.settings.port('kafka_port')}"

    def run(self, variant: Variant, load: Load, seconds: float) -> Result:
        """From the first event on. The job is cancelled in the end."""
        self._submit(variant)
        job, vertex = self._job()
        # Each of the two subtasks reads every definition.
        definitions = 2 * load.segments
        total = load.events + definitions
        first = self._until(lambda: self._read(job, vertex), definitions + load.events * WARM_SHARE)
        began, before = time.monotonic(), look(self.layout)
        last = first
        while last < total and time.monotonic() - began < seconds:
            time.sleep(LOOK_EVERY_S)
            last = self._read(job, vertex)
        took_s = time.monotonic() - began
        used = between(before, look(self.layout), took_s).parts
        checkpoints = self._flink.get(f"/jobs/{job}/checkpoints").json()
        memory = sum(_resident(name, self.layout) for name in ("taskmanager-1", "taskmanager-2"))
        self._flink.patch(f"/jobs/{job}?mode=cancel")
        self._until(lambda: float(not self._active()), 1)
        return Result(
            name=variant.name,
            events=int(last - first),
            took_s=took_s,
            cpu_s={name: seconds for name, seconds in used.items() if seconds},
            memory_mb=round(memory / 1e6),
            load_1m=os.getloadavg()[0],
            **_checkpoints(checkpoints),
        )

    def run_quix(self, python: str, load: Load, seconds: float) -> Result:
        """Two processes, one for each partition."""
        group = f"quix-{time.time_ns()}"
        state = tempfile.mkdtemp(prefix="quix-")
        command = [python, "-m", "load_tests.peers.quix", "--bootstrap", self.bootstrap, "--group", group]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        processes = [
            subprocess.Popen([*command, "--state", state], cwd=ROOT, env=environment)  # noqa: S603
            for _ in range(2)
        ]
        try:
            done = lambda: float(load.events - (lag(self.bootstrap, [group]).get(group) or load.events))  # noqa: E731
            first = self._until(done, load.events * WARM_SHARE)
            began, before = time.monotonic(), look(self.layout)
            own = sum(of_family(each.pid) for each in processes)
            last = first
            while last < load.events and time.monotonic() - began < seconds:
                time.sleep(LOOK_EVERY_S)
                last = done()
            took_s = time.monotonic() - began
            used = dict(between(before, look(self.layout), took_s).parts)
            used["quix"] = round(sum(of_family(each.pid) for each in processes) - own, 2)
            memory = sum(psutil.Process(each.pid).memory_info().rss for each in processes)
        finally:
            for each in processes:
                each.terminate()
                each.wait(30)
            shutil.rmtree(state, ignore_errors=True)
        kept = {name: seconds for name, seconds in used.items() if seconds and not name.startswith(("task", "job"))}
        return Result(QUIX, int(last - first), took_s, kept, round(memory / 1e6), 0, (0, 0, 0), 0, os.getloadavg()[0])

    def _submit(self, variant: Variant) -> None:
        environment = {
            **os.environ,
            **jvm.environment(self.layout),
            **services.environment(self.settings, self.layout, {}),
            "AUDIENCE_CACHED_PROFILES": str(self._cached_profiles),
            **variant.variables,
        }
        command = [*jvm.client(self.layout), "run", "--detached", *variant.options, "--python", str(SCRIPT)]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            raise SystemExit(f"{variant.name} was not submitted:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")

    def _active(self) -> list[str]:
        found = self._flink.get("/jobs/overview").json()["jobs"]
        return [job["jid"] for job in found if job["state"] in ("CREATED", "RUNNING", "RESTARTING", "CANCELLING")]

    @retry(retry=retry_if_exception_type((ValueError, KeyError)), stop=stop_after_delay(60), wait=wait_fixed(1))
    def _job(self) -> tuple[str, str]:
        """The running job, and the vertex that evaluates."""
        [job] = self._active()
        vertices = self._flink.get(f"/jobs/{job}").json()["vertices"]
        [vertex] = [each["id"] for each in vertices if each["name"].startswith("evaluate rules")]
        return job, vertex

    def _read(self, job: str, vertex: str) -> float:
        """Records that the subtasks have taken in, the definitions among them."""
        path = f"/jobs/{job}/vertices/{vertex}/subtasks/metrics"
        found = self._flink.get(path, params={"get": "numRecordsIn", "agg": "sum"}).json()
        return float(found[0]["sum"]) if found else 0.0

    def _until(self, number: Any, wanted: float) -> float:
        deadline = time.monotonic() + GIVE_UP_S
        while (found := float(number())) < wanted:
            if time.monotonic() > deadline:
                raise SystemExit(f"it stands at {found:g} of {wanted:g}")
            time.sleep(LOOK_EVERY_S)
        return found


def _resident(name: str, layout: Layout) -> int:
    process = psutil.Process(daemon.connect(layout).programs()[name].pid)
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))


def _checkpoints(answer: Mapping[str, Any]) -> dict[str, Any]:
    took, size = answer["summary"]["end_to_end_duration"], answer["summary"]["state_size"]
    return {
        "checkpoints": answer["counts"]["completed"],
        "checkpoints_ms": tuple(float(took[name]) for name in ("p50", "p99", "max")),
        "state_mb": round(size["max"] / 1e6, 1),
    }


def report(load: Load, results: Sequence[Result], console: Console) -> str:
    """Print the results; the same as Markdown."""
    heads = ("variant", "events/s", "rule evaluations/s", "CPU-s a million", "memory MB", "checkpoint p50/p99/max ms",
             "state MB", "load")  # fmt: skip
    table = Table(*heads)
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for each in results:
        row = (
            each.name,
            f"{each.events_per_s:,.0f}",
            f"{each.events_per_s * load.rules_an_event:,.0f}",
            f"{each.cpu_s_per_million:,.0f}",
            f"{each.memory_mb:,.0f}",
            "/".join(f"{ms:,.0f}" for ms in each.checkpoints_ms) if each.checkpoints else "-",
            f"{each.state_mb:,.1f}",
            f"{each.load_1m:.1f}",
        )
        table.add_row(*row)
        lines.append(f"| {' | '.join(row)} |")
    console.print(table)
    what = (
        f"{load.events:,} events of {load.event_bytes:.0f} B, {load.profiles:,} profiles (Zipf 1.0), "
        f"{load.segments:,} segments; an event selects {load.rules_an_event:.1f} rules. Two TaskManagers of one slot, "
        f"{os.cpu_count()} cores. Targets: 20,000 events/s, floor 12,000; 0.8 of Quix Streams."
    )
    console.print(what)
    return f"# The streaming job\n\n{what}\n\n" + "\n".join(lines) + "\n\n![events/s](job.svg)\n"


def figures_of(load: Load, results: Sequence[Result]) -> list[Figure]:
    """Those that have targets, of the heap variant, and what every variant took."""
    told: list[Figure] = []
    by_name = {each.name: each for each in results}
    for name, each in by_name.items():
        told.append(shown(f"job: events, {name}", "events/s", "higher", [each.events_per_s]))
        told.append(shown(f"job: processor, {name}", "s a million events", "lower", [each.cpu_s_per_million]))
        told.append(shown(f"job: memory of the TaskManagers, {name}", "MB", "lower", [each.memory_mb]))
    best = by_name.get("heap")
    if best is not None:
        told.append(figure("job: events, 1,000 segments", [best.events_per_s]))
        told.append(figure("job: rule evaluations", [best.events_per_s * load.rules_an_event]))
        if best.checkpoints:
            told.append(figure("job: checkpoint, p99", [best.checkpoints_ms[1] / 1000]))
        if QUIX in by_name:
            told.append(
                figure("job: beside our engine in Quix Streams", [best.events_per_s / by_name[QUIX].events_per_s])
            )
    return told


def plot(results: Sequence[Result]) -> str:
    """Events a second as bars, in SVG."""
    most = max(each.events_per_s for each in results) or 1.0
    bars = []
    for number, each in enumerate(results):
        width, y = 400 * each.events_per_s / most, 30 * number
        bars.append(
            f'<text x="0" y="{y + 20}">{each.name}</text><rect x="90" y="{y + 5}" width="{width:.0f}" height="20" '
            f'fill="#4477aa"/><text x="{95 + width:.0f}" y="{y + 20}">{each.events_per_s:,.0f}/s</text>'
        )
    look = f'width="600" height="{30 * len(results) + 10}" font-family="sans-serif" font-size="13"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {look}>{"".join(bars)}</svg>\n'


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--segments", type=int, default=1_000)
    parser.add_argument("--variants", default="heap,rocksdb,process,key_by")
    parser.add_argument("--seconds", type=float, default=30.0, help="that each variant is measured for, at most")
    parser.add_argument("--cached-profiles", type=int, default=10_000, help="kept decoded by each subtask")
    parser.add_argument("--taskmanager-mb", type=int, default=2_500)
    parser.add_argument("--port-offset", type=int, default=PORT_OFFSET)
    parser.add_argument("--quix-python", default=os.environ.get("QUIX_PYTHON", ""), help="a Python with quixstreams")
    parser.add_argument("--report", type=Path, help="write this with .md, .json and .svg")
    asked = parser.parse_args()
    interruptible()  # so that what it started ends with it, however it is ended
    console = Console()
    wanted = asked.variants.split(",")
    began_s = time.monotonic()
    options = {
        "services": "0", "jit": "full", "state_backend": "rocksdb", "start_timeout_s": "900",
        "taskmanager_memory_mb": str(asked.taskmanager_mb),
    }  # fmt: skip
    with own_platform(asked.port_offset, without=(JOB,), **options) as settings:
        bench = Bench(settings, asked.cached_profiles)
        with console.status("Filling Kafka …"):
            load = preload(bench.bootstrap, asked.events, asked.profiles, asked.segments)
        results = []
        for variant in (each for each in VARIANTS if each.name in wanted):
            with console.status(f"Running {variant.name} …"):
                results.append(bench.run(variant, load, asked.seconds))
        if QUIX in wanted or asked.quix_python:
            with console.status("Running Quix Streams …"):
                results.append(bench.run_quix(asked.quix_python, load, asked.seconds))
    text = report(load, results, console)
    if asked.report:
        details = {"load": asdict(load), "results": [asdict(each) for each in results]}
        seconds = time.monotonic() - began_s
        write(
            asked.report.with_suffix(".json"),
            "job",
            COMMAND,
            figures_of(load, results),
            seconds=seconds,
            details=details,
        )
        asked.report.with_suffix(".md").write_text(text)
        asked.report.with_suffix(".svg").write_text(plot(results))


if __name__ == "__main__":
    main()
