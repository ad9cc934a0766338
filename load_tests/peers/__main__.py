"""The streaming job beside Quix Streams with the same rules written as plain Python: in turns, with the same answers.

    python -m load_tests.peers --rules 10,1000 --runs 5 --report load_tests/reports/peers

Both get the same events of their own topic, on the platform of `make up`, one after the other. Answers are held against
the tests' oracle for some profiles, and against each other for all: where they differ there are no figures, and the
status is 1.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console

from audience.ports.event_log import EventLogUnavailable
from load_tests.compare import number
from load_tests.figures import Figure, figure, shown, write
from load_tests.machine import machine
from load_tests.peers.runner import NotRun, Ours, Peer, QuixProcesses, Turn, differences, turn
from load_tests.peers.work import Work, work
from local.settings import load

HOST: Final = "127.0.0.1"
PLAIN: Final = "quix streams, plain python"
PLAIN_LACKS: Final = (
    "a membership that time alone ends, or begins, changes only with the profile's next event",
    "an event that comes twice counts twice",
    "a new or changed rule needs a restart, and knows nothing of what was before",
    "events are kept for ever where a rule has no window; nothing is ever forgotten in the others",
    "no explanation of an answer, no versions, no store that applications read",
    "only what the benchmarks' rules need of the rule language",
)
TARGETS: Final[Mapping[int, str]] = {
    10: "job: beside plain Quix Streams, 10 rules",
    1_000: "job: beside plain Quix Streams, 1,000 rules",
}


def compare(peers: Sequence[Peer], work: Work, runs: int, console: Console) -> list[Turn]:
    """All turns, interleaved. Raises NotRun, also where answers differ."""
    turns = []
    with ExitStack() as stack:
        for peer in peers:
            stack.callback(peer.close)
            with console.status(f"{peer.name}: {len(work.rules):,} rules …"):
                peer.prepare(work)
        for _ in range(runs):
            for peer in peers:
                with console.status(f"{peer.name} …"):
                    turns.append(done := turn(peer, work))
                console.print(f"  {peer.name}: {done.events_per_s:,.0f} events/s", highlight=False)
    if odd := differences(turns, work):
        told = "\n  ".join(odd[:10])
        raise NotRun(f"answers differ, so there are no figures ({len(odd)} profiles and turns):\n  {told}")
    return turns


def figures_of(rules: int, turns: Sequence[Turn]) -> list[Figure]:
    """Events a second of each, and what ours is to the other, pair by pair."""
    names = list(dict.fromkeys(each.peer for each in turns))
    by_peer = {name: [each.events_per_s for each in turns if each.peer == name] for name in names}
    told = [shown(f"peers: {name}, {rules:,} rules", "events/s", "higher", runs) for name, runs in by_peer.items()]
    ratios = [ours / theirs for ours, theirs in zip(by_peer[Ours.name], by_peer[PLAIN], strict=True)]
    if rules in TARGETS:
        told.append(figure(TARGETS[rules], ratios))
    else:
        told.append(shown(f"job: beside plain Quix Streams, {rules:,} rules", "x", "higher", ratios))
    return told


def markdown(told: Mapping[int, Sequence[Turn]], peers: Sequence[Peer], checked: Mapping[int, tuple[int, int]]) -> str:
    """The report's page."""
    lines = [
        "# Beside what one might pick instead",
        "",
        f"{machine()}.",
        "The same events and rules, in turns on one Kafka; medians with their ranges. Sending the events,",
        "and with ours the projection into the stores that applications read, run on the same machine.",
        "",
        "| rules | | events/s | ours beside it |",
        "|---|---|---|---|",
    ]
    for rules, turns in told.items():
        ours = [each.events_per_s for each in turns if each.peer == Ours.name]
        for name in dict.fromkeys(each.peer for each in turns):
            runs = [each.events_per_s for each in turns if each.peer == name]
            ratio = median(mine / theirs for mine, theirs in zip(ours, runs, strict=True))
            spread = f"{number(median(runs))} ({number(min(runs))} to {number(max(runs))})"
            lines.append(f"| {rules:,} | {name} | {spread} | {ratio:.2f} x |")
    for rules, (sampled, profiles) in checked.items():
        lines += ["", f"{rules:,} rules: answers equal for {profiles:,} profiles; for {sampled:,} the oracle's too."]
    for peer in peers:
        if peer.lacks:
            lines += ["", f"What *{peer.name}* does not do here:", "", *(f"- {each}" for each in peer.lacks)]
    return "\n".join(lines) + "\n"


def main() -> int:
    """The command."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends, and what was made goes
    console = Console() if sys.stdout.isatty() else Console(width=140)
    began = time.monotonic()
    told: dict[int, list[Turn]] = {}
    checked: dict[int, tuple[int, int]] = {}
    peers: list[Peer] = []
    try:
        for rules in map(int, asked.rules.split(",")):
            with console.status(f"{rules:,} rules: asking the oracle …"):
                given = work(rules, asked.events, asked.profiles, asked.sample)
            checked[rules] = (len(given.oracle), len(given.profiles))
            console.print(f"{rules:,} rules, {len(given.events):,} events", highlight=False)
            peers = [
                Ours(asked.bootstrap, asked.segments, asked.token),
                QuixProcesses(PLAIN, "load_tests.peers.quix_plain", PLAIN_LACKS, asked.bootstrap),
            ]
            told[rules] = compare(peers, given, asked.runs, console)
    except (NotRun, EventLogUnavailable) as error:
        console.print(f"peers: {error}", style="red", highlight=False)
        return 1
    page = markdown(told, peers, checked)
    console.print(page, markup=False, highlight=False)
    if asked.report:
        asked.report.parent.mkdir(parents=True, exist_ok=True)
        asked.report.with_suffix(".md").write_text(page, encoding="utf-8")
        figures = [each for rules, turns in told.items() for each in figures_of(rules, turns)]
        details = {"checked": {str(rules): list(counts) for rules, counts in checked.items()}}
        seconds = time.monotonic() - began
        write(asked.report.with_suffix(".json"), "peers", "make bench-peers", figures, seconds=seconds, details=details)
    return 0


def _arguments() -> argparse.Namespace:
    settings = load(os.environ)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", default=f"{HOST}:{settings.port('kafka_port')}")
    parser.add_argument("--segments", default=f"http://{HOST}:{settings.port('segments_port')}")
    parser.add_argument("--token", default=os.environ.get("AUDIENCE_API_TOKEN", "demo-api-token"))
    parser.add_argument("--rules", default="10,1000", help="numbers of rules")
    parser.add_argument("--events", type=int, default=20_000, help="of each run")
    parser.add_argument("--profiles", type=int, default=2_000)
    parser.add_argument("--sample", type=int, default=40, help="profiles that the oracle is asked about")
    parser.add_argument("--runs", type=int, default=5, help="of each peer, in turns")
    parser.add_argument("--report", type=Path, help="where to write NAME.md and NAME.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
