"""Two results beside each other: what has become slower than the noise between their runs explains.

    python -m load_tests.compare before.json after.json

Takes what `make bench` or one benchmark has written. A change counts where it is larger than `--least` (5%), and larger
than the runs of both sides scatter: their ranges must not touch. A figure that was measured once has no range; its
change must be larger than `--once` (25%). Status 1 where anything is worse, 2 where a file cannot be read.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from load_tests import figures
from load_tests.figures import Figure, Result

Change = Literal["worse", "better", "same", "gone", "new"]
LEAST = 0.05
ONCE = 0.25


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure on both sides; None where it is missing on one. `ratio` is after to before."""

    name: str
    before: Figure | None
    after: Figure | None
    change: Change

    @property
    def ratio(self) -> float | None:
        if self.before is None or self.after is None or not self.before.value:
            return None
        return self.after.value / self.before.value


def compare(
    before: Iterable[Result], after: Iterable[Result], *, least: float = LEAST, once: float = ONCE
) -> list[Compared]:
    """Every figure of either side, in the order of `before`, then what is new."""
    old = {each.name: each for result in before for each in result.figures}
    new = {each.name: each for result in after for each in result.figures}
    return [
        Compared(name, old.get(name), new.get(name), _change(old.get(name), new.get(name), least, once))
        for name in dict.fromkeys((*old, *new))
    ]


def _change(before: Figure | None, after: Figure | None, least: float, once: float) -> Change:
    if before is None:
        return "new"
    if after is None:
        return "gone"
    if before.unit != after.unit or before.better != after.better:
        raise figures.NotFigures(f"{before.name} is in {before.unit} on one side and in {after.unit} on the other")
    moved = after.value - before.value
    repeated = len(before.runs) > 1 and len(after.runs) > 1
    if abs(moved) <= abs(before.value) * (least if repeated else once):
        return "same"
    if repeated and max(min(before.runs), min(after.runs)) <= min(max(before.runs), max(after.runs)):
        return "same"  # the ranges touch
    return "better" if (moved > 0) == (before.better == "higher") else "worse"


def markdown(compared: Sequence[Compared]) -> str:
    """The table."""
    lines = ["| | before | after | ratio | |", "|---|---|---|---|---|"]
    for each in compared:
        ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
        change = "" if each.change == "same" else f"**{each.change}**"
        lines.append(f"| {each.name} | {cell(each.before)} | {cell(each.after)} | {ratio} | {change} |")
    return "\n".join(lines) + "\n"


def cell(each: Figure | None) -> str:
    """A figure in a table: its median, its range, its unit."""
    if each is None:
        return "-"
    ranged = f" ({number(min(each.runs))} to {number(max(each.runs))})" if len(each.runs) > 1 else ""
    return f"{number(each.value)}{ranged} {each.unit}"


def number(value: float) -> str:
    """Three digits that say something, and no more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--least", type=float, default=LEAST, help="the smallest share that counts")
    parser.add_argument("--once", type=float, default=ONCE, help="the same, of what was measured once")
    asked = parser.parse_args(arguments)
    try:
        before, after = figures.read(asked.before), figures.read(asked.after)
        compared = compare(before, after, least=asked.least, once=asked.once)
    except figures.NotFigures as error:
        print(error, file=sys.stderr)
        return 2
    for side, results in (("before", before), ("after", after)):
        machines = {(each.commit, each.at, each.machine.get("load_1m")) for each in results}
        for commit, at, load in sorted(machines, key=str):
            print(f"{side}: commit {commit or 'unknown'}, {at}, load average {load}")
    print()
    print(markdown(compared), end="")
    worse = [each.name for each in compared if each.change == "worse"]
    print(f"\n{f'worse: {chr(44).join(worse)}' if worse else 'nothing is worse beyond the noise'}")
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
