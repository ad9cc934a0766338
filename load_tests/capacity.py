"""What an install carries, where it breaks first, and what to scale: computed from the reports of the benchmarks.

    python -m load_tests.capacity --overlay overlays/production/values.yaml --write docs/operations/capacity.md

Reads `reports/*.json` and the runs of the scenarios, takes the cost of an event and of a request in each part, and
holds it against the processors that the overlay's values give. Every measured number in its tables comes from a report;
what is assumed instead is listed below them. With --write it puts the tables between the page's marks. Refuses to go on
without a figure that it needs, with `NotEnough`.
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from load_tests import figures
from load_tests.compare import number
from load_tests.figures import NotFigures, Result
from load_tests.scenarios.objectives import OBJECTIVES
from local.settings import ROOT

REPORTS: Final = ROOT / "load_tests/reports"
BEGIN: Final = "<!-- computed by load_tests.capacity: begin -->"
END: Final = "<!-- computed by load_tests.capacity: end -->"
UTILISATION: Final = 0.7
"""Of a processor, where a part is full: beyond that waiting grows faster than work, and nobody can fail."""
MIB: Final = 1 << 20
EACH_CORE: Final = frozenset({"ingest-api"})
"""Parts whose replicas use all of their cores; the others are one Python process each."""
LEAST_EVENTS: Final = 10_000
"""Of the run from which costs are taken."""
APART: Final = 3.0
"""By so many times the rates of two runs must differ, for what a part costs while idle to be told from its work."""
PARTS: Final = {
    "rule evaluation": ("taskmanager-1", "taskmanager-2"),
    "kafka": ("kafka",),
    "projection": ("projection",),
    "postgres": ("postgres",),
}
"""What an event passes besides ingest-api, and the local platform's processes that do it."""
ASSUMED: Final = (
    f"A part is full at {UTILISATION:.0%} of its processors.",
    "ingest-api works in a process for each of its cores; a replica of segment-api and of the projection on one core.",
    "All subtasks of a TaskManager in thread mode share one Python interpreter, and so about one core.",
    "Each replica of a partition costs a broker as much as the first one.",
    "PostgreSQL writes on its primary alone: further instances carry no more.",
    "Aerospike was not measured; with it the projection's and PostgreSQL's part per event becomes smaller.",
    "A core there does what a core here does.",
)


class NotEnough(Exception):
    """The reports lack a figure; the message says which benchmark gives it."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What one event, or one request, costs. Processor times in microseconds."""

    events: Mapping[str, float]
    request_us: float
    selected: float
    state_bytes: float
    kafka_bytes: float | None
    postgres_bytes: float | None
    memory_mib: Mapping[str, float]
    marginal: bool
    """Whether what parts cost while idle was told from their work; else it is in what an event costs."""
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part of the platform runs in an overlay: how many, and how many cores of each it can use."""

    part: str
    replicas: int
    most: int
    cores: float

    def carries(self, cost_us: float, *, most: bool = False) -> float:
        """Events (or requests) a second."""
        return (self.most if most else self.replicas) * self.cores * UTILISATION * 1e6 / cost_us

    def wanted(self, rate: float, cost_us: float) -> int:
        """Replicas for a rate."""
        return math.ceil(rate * cost_us / 1e6 / UTILISATION / self.cores)


def reports(folder: Path) -> list[Result]:
    """Every result in a folder of reports and in the scenarios' below it. Files of other shapes are left out."""
    found = []
    for file in (*sorted(folder.glob("*.json")), *sorted(folder.glob("*/report.json"))):
        if file.name == "summary.json":
            continue
        try:
            found += figures.read(file)
        except NotFigures:
            continue
    return found


def costs(results: Sequence[Result]) -> Costs:
    """The costs. Raises NotEnough."""
    found = {each.name: each.value for result in results for each in result.figures}
    by_bench = {result.bench: result for result in results}

    def need(name: str, command: str) -> float:
        if name not in found:
            raise NotEnough(f"{name!r} is in no report: run `{command}`")
        return found[name]

    slow, run = _runs(results)
    parts = run.details["parts"]
    events = parts["taken"]["events"]
    of_parts = {name: _cost_us(parts, None if slow is None else slow.details["parts"], name) for name in PARTS}
    engine = by_bench.get("engine")
    rows = [] if engine is None else [each for each in engine.details["results"] if each["rules"] == 1_000]
    if not rows:
        raise NotEnough("the engine with 1,000 rules is in no report: run `make bench-engine`")
    disk = parts.get("disk_mib", {})
    return Costs(
        events={"ingest-api": need("ingest-api: processor, batches of 100", "make bench-ingest"), **of_parts},
        request_us=need("segment-api: processor, memberships", "make bench-api"),
        selected=rows[0]["selected_an_event"],
        state_bytes=rows[0]["state_bytes"],
        kafka_bytes=disk["kafka"] * MIB / events if "kafka" in disk else None,
        postgres_bytes=disk["postgres"] * MIB / events if "postgres" in disk else None,
        marginal=slow is not None,
        memory_mib={part: used["rss_mib"] for part, used in parts.items() if "rss_mib" in used},
        sources=tuple(
            f"{each.bench}: commit {each.commit}, {each.at}, load average {each.machine.get('load_1m', 0):.1f}"
            for each in (by_bench["ingest"], by_bench["api"], engine, run, slow)
            if each is not None
        ),
    )


def _runs(results: Sequence[Result]) -> tuple[Result | None, Result]:
    """The run that took most events a second, and that which took fewest, where it is far slower.

    Raises NotEnough.
    """
    runs = sorted((each for each in results if isinstance(each.details, dict) and each.details.get("parts")), key=_rate)
    if not runs or runs[-1].details["parts"]["taken"]["events"] < LEAST_EVENTS:
        raise NotEnough("no long run of a scenario against `make up` is there: run `make load-demo`")
    return runs[0] if _rate(runs[0]) * APART <= _rate(runs[-1]) else None, runs[-1]


def _rate(run: Result) -> float:
    taken = run.details["parts"]["taken"]
    return float(taken["events"] / taken["seconds"])


def _cost_us(fast: Mapping[str, Any], slow: Mapping[str, Any] | None, name: str) -> float:
    """Processor time of one more event. Raises NotEnough where noise has hidden it."""

    def cores(parts: Mapping[str, Any]) -> float:
        return float(sum(parts[part]["cpu_s"] for part in PARTS[name]) / parts["taken"]["seconds"])

    def rate(parts: Mapping[str, Any]) -> float:
        return float(parts["taken"]["events"] / parts["taken"]["seconds"])

    if slow is None:
        return 1e6 * cores(fast) / rate(fast)
    cost = 1e6 * (cores(fast) - cores(slow)) / (rate(fast) - rate(slow))
    if cost <= 0:
        raise NotEnough(f"{name} used less in the faster run: run `make load-demo` again, on a quiet machine")
    return cost


def places(values: Mapping[str, Any]) -> dict[str, Place]:
    """Where the parts run by an overlay's values. Raises NotEnough for values that lack a part."""
    try:
        services = {**values["services"], **values["workers"]["list"]}
        found = {}
        for name in ("ingest-api", "segment-api", "projection"):
            told = services[name]
            scaling = told.get("autoscaling", {})
            most = scaling["maxReplicas"] if scaling.get("enabled") else told["replicas"]
            cores = cpus(told["resources"]["limits"]["cpu"])
            found[name] = Place(name, told["replicas"], most, cores if name in EACH_CORE else min(1.0, cores))
        managers, kafka, postgres = values["flink"]["taskManager"], values["kafka"], values["postgres"]
        cores = min(1.0, cpus(managers["resources"]["limits"]["cpu"]))
        found["rule evaluation"] = Place("rule evaluation", managers["replicas"], managers["replicas"], cores)
        cores = cpus(kafka["resources"]["limits"]["cpu"]) / kafka["replicationFactor"]
        found["kafka"] = Place("kafka", kafka["brokers"], kafka["brokers"], cores)
        found["postgres"] = Place("postgres", 1, 1, cpus(postgres["resources"]["limits"]["cpu"]))
    except (KeyError, TypeError) as error:
        raise NotEnough(f"the overlay's values do not say {error}") from error
    return found


def cpus(text: object) -> float:
    """Kubernetes' processors: 2000m and 2 are two."""
    words = str(text)
    return float(words[:-1]) / 1000 if words.endswith("m") else float(words)


def tables(found: Costs, placed: Mapping[str, Place], values: Mapping[str, Any]) -> str:
    """The computed part of the page."""
    wanted = {each.measure: each.production for each in OBJECTIVES}
    rate, asked = wanted["events_per_s"], wanted["requests_per_s"]
    rows = [(placed[name], cost, rate, "events") for name, cost in found.events.items()]
    rows.append((placed["segment-api"], found.request_us, asked, "requests"))
    rows.sort(key=lambda row: row[0].carries(row[1], most=True) / row[2])
    lines = [
        "| part | us each | wanted | carries as installed | carries scaled out | replicas for what is wanted |",
        "|---|---|---|---|---|---|",
    ]
    for place, cost, aim, unit in rows:
        lines.append(
            f"| {place.part} | {number(cost)} | {aim:,.0f} {unit}/s | {place.carries(cost):,.0f}/s ({place.replicas}) "
            f"| {place.carries(cost, most=True):,.0f}/s ({place.most}) | {place.wanted(aim, cost)} |"
        )
    first, cost, aim, unit = rows[0]
    carried = first.carries(cost, most=True)
    lines += ["", _verdict(first, carried, aim, unit, first.wanted(aim, cost))]
    events = min(place.carries(cost, most=True) for place, cost, _, unit in rows if unit == "events")
    evaluated = (
        f"Rule evaluations: an event selects {found.selected:.1f} of 1,000 live rules, so {rate:,.0f} events/s are",
        f"{rate * found.selected:,.0f} evaluations/s, and the {events:,.0f} events/s that all parts carry",
        f"{events * found.selected:,.0f}/s; wanted are {wanted['evaluations_per_s']:,.0f}/s.",
        f"Rules x events would be {rate * 1_000:,.0f}/s.",
    )
    of_states = found.state_bytes * 10_000_000 / 2**30
    lines += [
        "",
        " ".join(evaluated),
        "",
        "| what is kept | bytes | at the rates wanted |",
        "|---|---|---|",
        f"| a profile's state, 1,000 rules | {found.state_bytes:,.0f} | {of_states:,.0f} GiB for 10 million |",
    ]
    if found.kafka_bytes is not None:
        kafka = values["kafka"]
        copies, hours = kafka["replicationFactor"], kafka["retentionHours"]
        total = found.kafka_bytes * copies * hours * 3600 * rate / 2**40
        lines.append(
            f"| an event in Kafka, with all that it causes there | {found.kafka_bytes:,.0f} "
            f"| {total:,.1f} TiB for {hours} hours and {copies} replicas, "
            f"{total / kafka['brokers']:,.1f} TiB a broker ({kafka['storage']['size']} are given) |"
        )
    if found.postgres_bytes is not None:
        lines.append(
            f"| an event in PostgreSQL, on average | {found.postgres_bytes:,.0f} | with the number of profiles |"
        )
    if not found.marginal:
        lines += [
            "",
            "One run alone: what parts use while idle is in what an event costs, so all of this is too little.",
        ]
    memory = ", ".join(f"{part} {mib:,.0f}" for part, mib in sorted(found.memory_mib.items()))
    lines += ["", f"Resident memory after that load, MiB: {memory}.", "", "Measured by:", ""]
    lines += [f"- {each}" for each in found.sources]
    lines += ["", "Assumed, not measured:", "", *(f"- {each}" for each in ASSUMED)]
    return "\n".join(lines) + "\n"


def _verdict(first: Place, carried: float, aim: float, unit: str, replicas: int) -> str:
    if carried >= aim:
        return f"Every part carries what is wanted once scaled out; {first.part} is the first to be full."
    return (
        f"It breaks first in **{first.part}**, at {carried:,.0f} {unit}/s: {first.most} where {replicas} are wanted. "
        "Scale that; the next row is where it breaks then."
    )


def put(page: str, computed: str) -> str:
    """The page with its computed part replaced. Raises NotEnough where it has no marks."""
    begin, end = page.find(BEGIN), page.find(END)
    if not 0 <= begin < end:
        raise NotEnough(f"the page has no marks {BEGIN} and {END}")
    return f"{page[: begin + len(BEGIN)]}\n\n{computed}\n{page[end:]}"


def main() -> int:
    """Print the tables, or put them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=Path, default=REPORTS)
    parser.add_argument("--overlay", type=Path, default=ROOT / "overlays/production/values.yaml")
    parser.add_argument("--write", type=Path, help="the page to put the tables into")
    asked = parser.parse_args()
    try:
        values = yaml.safe_load(asked.overlay.read_text(encoding="utf-8"))
        computed = tables(costs(reports(asked.reports)), places(values), values)
        if asked.write:
            asked.write.write_text(put(asked.write.read_text(encoding="utf-8"), computed), encoding="utf-8")
    except (NotEnough, OSError) as error:
        print(f"capacity: {error}", file=sys.stderr)
        return 1
    print(computed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
