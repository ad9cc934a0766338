"""What every benchmark writes: its figures in one shape, with the machine, the command and the commit.

    {"schema": "figures/1", "bench", "command", "commit", "at", "seconds", "machine": {…}, "details": …,
     "figures": [{"name", "unit", "better", "value", "runs": […], "target", "floor"}, …]}

`value` is the median of `runs`, `target` and `floor` are null for a figure that is only shown. `details` is the
benchmark's own. Refuses a file of another shape with `NotFigures`.
"""

import json
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, cast

from load_tests.machine import machine
from load_tests.targets import TARGETS, Better

SCHEMA: Final = "figures/1"
ROOT: Final = Path(__file__).resolve().parent.parent
Verdict = Literal["target", "floor", "missed", "shown"]


class NotFigures(Exception):
    """A file holds no figures of this shape."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing. `runs` are what the repetitions gave, in their order; at least one."""

    name: str
    unit: str
    better: Better
    runs: tuple[float, ...]
    target: float | None = None
    floor: float | None = None

    @property
    def value(self) -> float:
        return statistics.median(self.runs)

    @property
    def verdict(self) -> Verdict:
        """What it has reached: the target, at least the floor, or neither."""
        if self.target is None or self.floor is None:
            return "shown"
        if self._reaches(self.target):
            return "target"
        return "floor" if self._reaches(self.floor) else "missed"

    def _reaches(self, wanted: float) -> bool:
        return self.value >= wanted if self.better == "higher" else self.value <= wanted

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "better": self.better,
            "value": self.value,
            "runs": list(self.runs),
            "target": self.target,
            "floor": self.floor,
        }


def figure(name: str, runs: Sequence[float]) -> Figure:
    """A figure that has a target. Raises KeyError for a name that load_tests/targets.py does not hold."""
    wanted = TARGETS[name]
    return Figure(name, wanted.unit, wanted.better, tuple(map(float, runs)), wanted.target, wanted.floor)


def shown(name: str, unit: str, better: Better, runs: Sequence[float]) -> Figure:
    """A figure without a target."""
    return Figure(name, unit, better, tuple(map(float, runs)))


@dataclass(frozen=True, slots=True)
class Result:
    """What a run of a benchmark found."""

    bench: str
    command: str
    figures: tuple[Figure, ...]
    details: Any = None
    commit: str = ""
    at: str = ""
    seconds: float = 0.0
    machine: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "bench": self.bench,
            "command": self.command,
            "commit": self.commit,
            "at": self.at,
            "seconds": self.seconds,
            "machine": dict(self.machine),
            "figures": [each.to_json() for each in self.figures],
            "details": self.details,
        }


def write(
    path: Path, bench: str, command: str, figures: Iterable[Figure], *, seconds: float = 0.0, details: Any = None
) -> Result:
    """Write a result that was measured just now, and give it."""
    result = Result(
        bench=bench,
        command=command,
        figures=tuple(figures),
        details=details,
        commit=commit(),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
        machine=asdict(machine()),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result.to_json(), indent=2) + "\n", encoding="utf-8")
    return result


def read(path: Path) -> list[Result]:
    """The results of a file: one, or those of a summary. Raises NotFigures."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        results = found.get("results", [found])
        return [_result(each) for each in results]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise NotFigures(f"{path} holds no figures: {type(error).__name__} {error}") from error


def _result(found: Mapping[str, Any]) -> Result:
    if found["schema"] != SCHEMA:
        raise ValueError(f"the schema is {found['schema']}, not {SCHEMA}")
    return Result(
        bench=found["bench"],
        command=found["command"],
        figures=tuple(_figure(each) for each in found["figures"]),
        details=found.get("details"),
        commit=found["commit"],
        at=found["at"],
        seconds=found["seconds"],
        machine=found["machine"],
    )


def _figure(found: Mapping[str, Any]) -> Figure:
    if found["better"] not in ("higher", "lower") or not found["runs"]:
        raise ValueError(f"{found['name']} is no figure")
    runs = tuple(map(float, found["runs"]))
    return Figure(found["name"], found["unit"], cast("Better", found["better"]), runs, found["target"], found["floor"])


def commit() -> str:
    """The commit that is checked out, with a + where files differ from it; empty outside a checkout."""
    asked = ("git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*")
    try:
        found = subprocess.run(asked, capture_output=True, text=True, check=True)  # noqa: S603  a constant
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()
