"""From what a run has left behind to what its objectives ask for.

A run's folder holds `runs.json` (when it began, and where it went on after a break), `load-N.jsonl` of each process of
the load, `canary.jsonl`, and on this machine's own platform `observed.jsonl`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final

from load_tests.scenarios.objectives import QUANTILE
from load_tests.scenarios.plan import Scenario
from load_tests.scenarios.recording import Recording, quantile

EVENTS: Final = ("batch of events", "single event")
DATABASE: Final = ("size", "members", "segments")
OURS: Final = "load generator"
ALLOWED: Final = frozenset({"429", "503"})
WARM_SHARE: Final = 0.2
"""Of a soak, at its begin: caches and heaps fill, and say nothing of what grows for ever."""
BREAK_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """One stretch of a scenario: at `begins_at` (Unix time) its second `skip_s` began."""

    begins_at: float
    skip_s: float


@dataclass(frozen=True, slots=True)
class Canary:
    """A try of the canary: the second of the scenario in which it was due; `error` empty where it arrived."""

    second: float
    seconds: float
    error: str


@dataclass(frozen=True, slots=True)
class Found:
    """Everything of a run."""

    recording: Recording
    canaries: tuple[Canary, ...]
    observed: tuple[Mapping[str, Any], ...]
    """As `observe` writes it, with `second`."""


def load(folder: Path) -> Found:
    """What the folder holds."""
    runs = [Run(**each) for each in json.loads((folder / "runs.json").read_text(encoding="utf-8"))]
    recording = Recording()
    for file in sorted(folder.glob("load-*.jsonl")):
        recording.read(file)
    canaries = tuple(
        Canary(second_of(runs, each["at"]), each["seconds"], each["error"]) for each in lines(folder / "canary.jsonl")
    )
    observed = tuple({**each, "second": second_of(runs, each["at"])} for each in lines(folder / "observed.jsonl"))
    return Found(recording, canaries, observed)


def lines(file: Path) -> Iterator[dict[str, Any]]:
    """A file's JSON lines; none where it is missing. A last one that is not whole is left out."""
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


def second_of(runs: Sequence[Run], at: float) -> float:
    """The scenario's second at a Unix time."""
    run = max((each for each in runs if each.begins_at <= at), key=lambda each: each.begins_at, default=runs[0])
    return at - run.begins_at + run.skip_s


def measures(scenario: Scenario, found: Found) -> dict[str, float | None]:
    """What the objectives' `measure` names; None for what was not measured."""
    recording = found.recording
    judged = [second for second in range(int(scenario.seconds) + 1) if scenario.judged(second)]
    api = [kind for kind in recording.kinds if kind not in (*EVENTS, OURS)]
    events, asked = recording.total(EVENTS, judged), recording.total(api, judged)

    def latency(kinds: Sequence[str]) -> float | None:
        return quantile(recording.total(kinds, judged).buckets, QUANTILE)

    within = set(judged)
    arrived = sorted(each.seconds for each in found.canaries if not each.error and int(each.second) in within)
    return {
        "events_per_s": events.events / len(judged),
        "requests_per_s": (asked.requests - asked.faults.total()) / len(judged),
        "evaluations_per_s": events.selected / len(judged),
        "full_per_s": events.full / len(judged),
        "users": float(scenario.users) if recording.cells else None,
        "api_ms": latency(api),
        "explain_ms": latency(["explain"]),
        "memberships_ms": latency(["memberships"]),
        "database_ms": latency(DATABASE),
        "canary_ms": 1000 * arrived[int((len(arrived) - 1) * QUANTILE)] if arrived else None,
        "canary_faults": float(sum(bool(each.error) for each in found.canaries)) if found.canaries else None,
        "faults": float(_faults(scenario, recording)),
        "late_ms": quantile(recording.total(seconds=judged).lateness, 0.99),
        **_soaked(found.observed),
    }


def _faults(scenario: Scenario, recording: Recording) -> int:
    return sum(
        count
        for (second, _), cell in recording.cells.items()
        for fault, count in cell.faults.items()
        if not (scenario.refusals and fault in ALLOWED and not scenario.judged(second))
    )


def _soaked(observed: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """What grows by the hour. None with too few looks."""
    looks = settled(observed)
    if len(looks) < 10:
        return {"lag_slope": None, "rss_slope": None, "restarts": None}
    lags = [(each["second"], sum(lag or 0 for lag in each["lag"].values())) for each in looks]
    return {
        "lag_slope": 3600 * slope(lags),
        "rss_slope": max(growth(looks).values()),
        "restarts": float(
            sum(
                before["pids"].get(part) != pid
                for before, after in pairwise(observed)
                if after["second"] - before["second"] < BREAK_S
                for part, pid in after["pids"].items()
                if part in before["pids"]
            )
        ),
    }


def settled(observed: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The looks without those at the begin, while caches and heaps fill."""
    return [each for each in observed if each["second"] >= WARM_SHARE * observed[-1]["second"]]


def growth(observed: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """By how many percent of itself each part's resident memory grows in an hour."""
    found = {}
    for part in observed[-1]["rss_mib"]:
        points = [(each["second"], each["rss_mib"][part]) for each in observed if part in each["rss_mib"]]
        mean = fmean(value for _, value in points)
        found[part] = 100 * 3600 * slope(points) / mean if mean else 0.0
    return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes of all pairs (Theil and Sen), which a few odd looks do not move. About 400 count."""
    step = max(1, len(points) // 400)
    slopes = [
        (after[1] - before[1]) / (after[0] - before[0])
        for before, after in combinations(points[::step], 2)
        if after[0] != before[0]
    ]
    return median(slopes) if slopes else 0.0
