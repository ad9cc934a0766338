"""The engine alone: JSON and state bytes in, state bytes out, for more and more rules.

    python -m load_tests.engine.bench --rules 10,100,1000,5000

One process. Each round takes the next part of one stream of events through every program in turn, so that a noisy
machine is noisy for all of them alike; figures are the median round and its range. The membership changes of the first
events are compared with the oracle of the tests before anything is timed.
"""

import argparse
import json
import statistics
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
from load_tests.engine.workload import Workload, chunks, rules, workload

SEED: Final = 20_261_121
ROUNDS: Final = 7


@dataclass(frozen=True, slots=True)
class Result:
    """One number of rules. Microseconds of processor time an event; the spread is over the rounds."""

    rules: int
    leaves: int
    median_us: float
    least_us: float
    most_us: float
    changes_an_event: float
    state_bytes: float

    @property
    def events_per_s(self) -> float:
        return 1e6 / self.median_us


class Subject:
    """A program and the states of its profiles."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.program = Program(compile_regex)
        for number, rule in enumerate(rules(count, seed)):
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
    return [subject.result() for subject in subjects]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", default="10,100,1000,5000", help="numbers of rules")
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--profiles", type=int, default=2_000)
    parser.add_argument("--days", type=float, default=60)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    work = workload(asked.events, asked.profiles, asked.days, SEED)
    results = measure([int(each) for each in asked.rules.split(",")], work, warm_share=0.5)
    table = Table("rules", "leaves", "events/s a core", "µs an event", "range", "changes an event", "state bytes")
    for each in results:
        table.add_row(
            f"{each.rules:,}",
            f"{each.leaves:,}",
            f"{each.events_per_s:,.0f}",
            f"{each.median_us:.1f}",
            f"{each.least_us:.1f} to {each.most_us:.1f}",
            f"{each.changes_an_event:.2f}",
            f"{each.state_bytes:,.0f}",
        )
    Console().print(table)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(each) for each in results], indent=2) + "\n")


if __name__ == "__main__":
    main()
