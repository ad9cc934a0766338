"""A run's report: one HTML page with its plots, the same table for a terminal, and figures to compare."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from load_tests import figures, plots
from load_tests.compare import number
from load_tests.figures import Figure, figure
from load_tests.machine import machine
from load_tests.scenarios.measuring import EVENTS, OURS, Found, growth, settled
from load_tests.scenarios.objectives import Row, passed
from load_tests.scenarios.plan import Scenario
from load_tests.scenarios.recording import Recording, quantile

STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .25rem .8rem; text-align: right }
th:first-child, td:first-child { text-align: left } tr { border-bottom: 1px solid #ddd }
.pass { color: #00664a; font-weight: 600 } .FAIL, .not { color: #a3200d; font-weight: 700 }
svg { width: 100%; height: auto } .small { color: #555; font-size: 13px }
@media (prefers-color-scheme: dark) { body { background: #fff } }
"""
LATE_MS: Final = 50.0
POINTS: Final = 240
"""A curve has at most about so many points: seconds are put together."""


def cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The objectives' table: objective, wanted, measured, judgement."""
    return [
        (
            row.objective.name,
            f"{'at least' if row.objective.least else 'at most'} {number(row.limit)} {row.objective.unit}",
            "-" if row.measured is None else f"{number(row.measured)} {row.objective.unit}",
            row.judgement,
        )
        for row in rows
    ]


def kinds(scenario: Scenario, recording: Recording) -> list[tuple[str, ...]]:
    """By kind of request, over the judged seconds: a second, p50, p95, p99, faults."""
    judged = [second for second in recording.seconds if scenario.judged(second)]
    found = []
    for kind in recording.kinds:
        cell = recording.total([kind], judged)
        if not cell.requests:
            continue
        spread = (quantile(cell.buckets, share) for share in (0.5, 0.95, 0.99))
        faults = ", ".join(f"{count} x {fault}" for fault, count in cell.faults.most_common()) or "0"
        found.append((kind, f"{cell.requests / len(judged):,.1f}", *(number(each or 0) for each in spread), faults))
    return found


def notes(scenario: Scenario, measured: Mapping[str, float | None]) -> list[str]:
    """What the table alone does not say."""
    selected, full, late = (measured.get(name) or 0.0 for name in ("evaluations_per_s", "full_per_s", "late_ms"))
    busy = ": it was too busy, and its own delay is part of every latency here" if late > LATE_MS else ""
    counted = f"Rule evaluations are the live rules that an event selects: {selected:,.0f}/s"
    told = [
        f"{counted}. All live rules times all events would be {full:,.0f}/s.",
        "Latencies are those of 95 in 100 requests, counted from when each was due, not from when it left.",
        f"The load generator itself sent 99 in 100 requests within {number(late)} ms of when they were due{busy}.",
        "The tables' data storage is not something that a run of minutes can show.",
    ]
    if scenario.scale != 1:
        told.append(f"The rates wanted are {scenario.scale:g} of the {scenario.column} column's.")
    return told


def page(
    scenario: Scenario, rows: Sequence[Row], found: Found, measured: Mapping[str, float | None], target: str
) -> str:
    """The HTML page."""
    verdict = "every objective met" if passed(rows) else "not every objective met"
    objectives = _table(("objective", "wanted", "measured", ""), cells(rows), judged=True)
    requests = _table(("request", "a second", "p50 ms", "p95 ms", "p99 ms", "faults"), kinds(scenario, found.recording))
    at = datetime.now(UTC).isoformat(timespec="seconds")
    title = f"Load: {scenario.name}"
    parts = [
        f"<h1>{title}</h1>",
        f"<p>{verdict}, by the {scenario.column} column. {at}, against {html.escape(target)}.</p>",
        f"<p class=small>{html.escape(f'Commit {figures.commit()}; load from {machine()}.')}</p>",
        objectives,
        *(f"<p class=small>{html.escape(each)}</p>" for each in notes(scenario, measured)),
        *_plots(scenario, found),
        "<h2>Requests</h2>",
        requests,
    ]
    if len(found.observed) > 1:
        parts += ["<h2>Parts</h2>", _parts(found)]
    head = f"<meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _table(head: Sequence[str], body: Sequence[Sequence[str]], *, judged: bool = False) -> str:
    def row(each: Sequence[str]) -> str:
        last = f"<td class={each[-1].split()[0]}>" if judged else "<td>"
        cells = [f"<td>{html.escape(cell)}</td>" for cell in each[:-1]]
        return f"<tr>{''.join(cells)}{last}{html.escape(each[-1])}</td></tr>"

    heads = "".join(f"<th>{html.escape(each)}</th>" for each in head)
    return f"<table><tr>{heads}</tr>{''.join(map(row, body))}</table>"


def _plots(scenario: Scenario, found: Found) -> list[str]:
    recording = found.recording
    step = max(1, round(scenario.seconds / POINTS))
    slots = range(0, int(scenario.seconds), step)
    api = [kind for kind in recording.kinds if kind not in (*EVENTS, OURS)]

    by_second: dict[int, Recording] = {}
    for (second, kind), cell in recording.cells.items():
        by_second.setdefault(second // step * step, Recording()).cell(0, kind).add(cell)
    empty = Recording()

    def curve(value: Callable[[Recording], float | None]) -> list[tuple[float, float]]:
        points = ((slot, value(by_second.get(slot, empty))) for slot in slots)
        return [(slot, each) for slot, each in points if each is not None]

    def latency(names: Sequence[str], share: float) -> list[tuple[float, float]]:
        return curve(lambda part: quantile(part.total(names).buckets, share))

    def latencies(title: str, names: Sequence[str]) -> str:
        curves = {f"p{round(100 * share)}": latency(names, share) for share in (0.5, 0.95, 0.99)}
        return plots.lines(title, curves, x="seconds", y="ms", log="y", shaded=back)

    back = [
        (begin, end)
        for (begin, end), phase in zip(_stretches(scenario), scenario.phases, strict=True)
        if not phase.judged
    ]
    drawn = [
        plots.lines(
            "Taken",
            {
                "events": curve(lambda part: part.total(EVENTS).events / step),
                "API requests": curve(lambda part: part.total(api).requests / step),
            },
            x="seconds",
            y="a second",
            shaded=back,
        ),
        latencies("Latency of the API, from when a request was due", api),
        latencies("Latency of events into ingest-api", EVENTS),
    ]
    arrived = [(each.second, 1000 * each.seconds) for each in found.canaries if not each.error]
    if arrived:
        drawn.append(
            plots.lines(
                "The canary: event to membership",
                {"ms": arrived},
                x="seconds",
                y="ms",
                log="y",
                marker=".",
                shaded=back,
            )
        )
    if len(found.observed) > 1:
        looks = found.observed
        groups = sorted({group for each in looks for group in each["lag"]})
        parts = sorted(looks[-1]["rss_mib"])
        drawn += [
            plots.lines(
                "Consumer lag",
                {group: [(each["second"], each["lag"].get(group) or 0) for each in looks] for group in groups},
                x="seconds",
                y="records",
            ),
            plots.lines(
                "Resident memory",
                {part: [(each["second"], each["rss_mib"].get(part, 0)) for each in looks] for part in parts},
                x="seconds",
                y="MiB",
            ),
        ]
    return drawn


def _stretches(scenario: Scenario) -> list[tuple[float, float]]:
    ends = [0.0]
    for phase in scenario.phases:
        ends.append(ends[-1] + phase.seconds)
    return list(pairwise(ends))


def _parts(found: Found) -> str:
    first, last = found.observed[0], found.observed[-1]
    seconds = last["at"] - first["at"]
    growing = growth(settled(found.observed))
    body = [
        (
            part,
            f"{first['rss_mib'].get(part, 0):,.0f}",
            f"{mib:,.0f}",
            f"{growing[part]:+.1f}",
            f"{(last['cpu_s'][part] - first['cpu_s'].get(part, 0)) / seconds:.2f}",
        )
        for part, mib in sorted(last["rss_mib"].items())
    ]
    return _table(("part", "MiB at first", "MiB at last", "% an hour", "cores"), body)


def write(
    folder: Path,
    scenario: Scenario,
    rows: Sequence[Row],
    found: Found,
    measured: Mapping[str, float | None],
    target: str,
    command: str,
) -> None:
    """`report.html` and `report.json` in the folder."""
    (folder / "report.html").write_text(page(scenario, rows, found, measured, target), encoding="utf-8")
    told = [
        Figure(
            f"{scenario.name}: {row.objective.name}",
            row.objective.unit,
            "higher" if row.objective.least else "lower",
            (row.measured,),
            row.limit,
            row.limit,
        )
        for row in rows
        if row.measured is not None
    ]
    looks = found.observed
    if looks:
        told.append(figure("platform: resident memory", [round(sum(looks[-1]["rss_mib"].values()), 1)]))
    details = {
        "scenario": asdict(scenario),
        "measured": dict(measured),
        "kinds": kinds(scenario, found.recording),
        "growth_percent_an_hour": growth(settled(looks)) if len(looks) > 1 else {},
        "parts": _used(found) if len(looks) > 1 else {},
        "passed": passed(rows),
    }
    figures.write(
        folder / "report.json", f"load-{scenario.name}", command, told, seconds=scenario.seconds, details=details
    )


def _used(found: Found) -> dict[str, dict[str, float]]:
    """CPU seconds and resident MiB of each part over the looks, by how much files grew, what was taken in that time."""
    first, last = found.observed[0], found.observed[-1]
    within = range(max(0, int(first["second"])), max(0, int(last["second"])))
    taken = found.recording.total(EVENTS, within).events
    asked = found.recording.total([kind for kind in found.recording.kinds if kind not in EVENTS], within).requests
    used = {
        part: {"cpu_s": round(last["cpu_s"][part] - first["cpu_s"].get(part, 0), 2), "rss_mib": mib}
        for part, mib in last["rss_mib"].items()
    }
    disk = {part: round(mib - first["disk_mib"][part], 2) for part, mib in last["disk_mib"].items()}
    return {
        **used,
        "disk_mib": disk,
        "taken": {"events": taken, "requests": asked, "seconds": round(last["at"] - first["at"], 1)},
    }
