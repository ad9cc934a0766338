"""The engine alone: JSON and state bytes in, state bytes out, for more and more rules.

    python -m load_tests.engine.bench --rules 10,100,1000,5000 --report load_tests/reports/engine

One process. Each round takes the next part of one stream of events through every program in turn, so that a noisy
machine is noisy for all of them alike; figures are the median round and its range. The membership changes of the first
events are compared with the oracle of the tests before anything is timed.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import track
from rich.table import Table

from audience.adapters.regex import compile_regex
from audience.engine.evaluate import Event, on_event
from audience.engine.program import Program
from audience.rules import parse_rule
from audience.wire.state import decode_state, encode_state, new_state
from audience.wire.topics import decode_event
from load_tests.engine.workload import Workload, chunks, rules, workload
from load_tests.figures import Figure, figure, shown, write
from load_tests.selected import Index

SEED: Final = 20_261_121
ROUNDS: Final = 7
WIDTH_OF_FILES: Final = 160


@dataclass(frozen=True, slots=True)
class Result:
    """One number of rules. Microseconds of processor time an event; the spread is over the rounds."""

    rules: int
    leaves: int
    median_us: float
    least_us: float
    most_us: float
    changes_an_event: float
    selected_an_event: float
    """Live rules that an event selects (`load_tests.selected`): what is evaluated, where rules x events is not."""
    state_bytes: float
    rounds_us: tuple[float, ...]

    @property
    def events_per_s(self) -> float:
        return 1e6 / self.median_us

    @property
    def evaluations_per_s(self) -> tuple[float, ...]:
        """Of each round."""
        return tuple(self.selected_an_event * 1e6 / each for each in self.rounds_us)


class Subject:
    """A program and the states of its profiles."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.program = Program(compile_regex)
        written = rules(count, seed)
        self.index = Index(written)
        for number, rule in enumerate(written):
            self.program.put(f"segment-{number}", parse_rule(rule, regex=compile_regex), version=1, revision=number + 1)
        self.states: dict[str, bytes] = {}
        self.changes = 0
        self.events = 0
        self.rounds: list[float] = []

    def take(self, events: Sequence[tuple[str, bytes, int]]) -> float:
        """Evaluate them; the seconds of processor time that it took."""
        program, states = self.program, self.states
        changes = 0
        began = time.process_time()
        for key, data, now_ms in events:
            event = Event.parse(data)
            kept = states.get(key)
            state = new_state(event.profile_id) if kept is None else decode_state(kept)
            changes += len(on_event(program, state, event, now_ms).changes)
            states[key] = encode_state(state)
        took = time.process_time() - began
        self.changes += changes
        self.events += len(events)
        return took

    def result(self) -> Result:
        each = sorted(1e6 * seconds for seconds in self.rounds)
        sizes = [len(state) for state in self.states.values()]
        return Result(
            rules=self.count,
            leaves=self.program.leaf_count,
            median_us=round(statistics.median(each), 2),
            least_us=round(each[0], 2),
            most_us=round(each[-1], 2),
            changes_an_event=round(self.changes / self.events, 2),
            selected_an_event=round(self.index.counted.an_event, 2),
            rounds_us=tuple(round(1e6 * seconds, 2) for seconds in self.rounds),
            state_bytes=round(statistics.mean(sizes)),
        )


def measure(counts: Sequence[int], work: Workload, warm_share: float) -> list[Result]:
    """The results, in the order of `counts`."""
    subjects = [Subject(count, SEED) for count in counts]
    warm = int(len(work.events) * warm_share)
    for subject in track(subjects, "Warming up"):
        subject.take(work.events[:warm])
        subject.changes = subject.events = 0
    timed = work.events[warm:]
    for part in track(list(chunks(timed, -(-len(timed) // ROUNDS))), "Measuring"):
        for subject in subjects:
            subject.rounds.append(subject.take(part) / len(part))
    for _, data, _ in timed:
        event = decode_event(data)
        for subject in subjects:
            subject.index.count(event.type, event.name, event.traits)
    return [subject.result() for subject in subjects]


def figures_of(results: Sequence[Result]) -> list[Figure]:
    """The figures that have targets, where the numbers of rules that they are of were measured; and all the others."""
    by_rules = {each.rules: each for each in results}
    told = []
    if 1_000 in by_rules:
        told.append(figure("engine: events, 1,000 rules", [1e6 / each for each in by_rules[1_000].rounds_us]))
        told.append(figure("engine: rule evaluations, 1,000 rules", by_rules[1_000].evaluations_per_s))
    if 10 in by_rules and 5_000 in by_rules:
        pairs = zip(by_rules[5_000].rounds_us, by_rules[10].rounds_us, strict=True)
        told.append(figure("engine: cost of 5,000 rules beside 10", [many / few for many, few in pairs]))
    for each in results:
        told.append(shown(f"engine: an event, {each.rules:,} rules", "us", "lower", each.rounds_us))
        told.append(shown(f"engine: state, {each.rules:,} rules", "bytes", "lower", [each.state_bytes]))
    return told


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", default="10,100,1000,5000", help="numbers of rules")
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--profiles", type=int, default=2_000)
    parser.add_argument("--days", type=float, default=60)
    parser.add_argument("--report", type=Path, help="where to write NAME.json")
    asked = parser.parse_args()
    began = time.monotonic()
    work = workload(asked.events, asked.profiles, asked.days, SEED)
    results = measure([int(each) for each in asked.rules.split(",")], work, warm_share=0.5)
    table = Table("rules", "leaves", "events/s a core", "µs an event", "range", "changes an event")
    for title in ("selected an event", "evaluations/s", "rules x events/s", "state bytes"):
        table.add_column(title)
    for each in results:
        table.add_row(
            f"{each.rules:,}",
            f"{each.leaves:,}",
            f"{each.events_per_s:,.0f}",
            f"{each.median_us:.1f}",
            f"{each.least_us:.1f} to {each.most_us:.1f}",
            f"{each.changes_an_event:.2f}",
            f"{each.selected_an_event:.1f}",
            f"{statistics.median(each.evaluations_per_s):,.0f}",
            f"{each.rules * each.events_per_s:,.0f}",
            f"{each.state_bytes:,.0f}",
        )
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_OF_FILES)
    console.print(table)
    if asked.report:
        details = {"results": [asdict(each) for each in results], "event_bytes": work.size_bytes}
        seconds = time.monotonic() - began
        path = asked.report.with_suffix(".json")
        write(path, "engine", "make bench-engine", figures_of(results), seconds=seconds, details=details)


if __name__ == "__main__":
    main()
