"""The engine beside the oracle: one generated pair, compared after every event and at every instant that could matter;
once with the rule there from the start, once so with a job that is behind, and once as a segment that is created on
the way and filled from the archive.

`make differential COUNT=1000000` is the long run, `make test` compares 10,000. A pair has a number, which is its seed:
`python -m tests.differential --first 4711 --count 1` tries one again. It refuses a count below 1.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from random import Random
from typing import Any

from tests.backfilled_stream import BackfilledStream
from tests.engine_stream import Stream
from tests.generate import pair, world_of
from tests.oracle import World, candidate_times, member

CHUNK = 250
TOLD_EVERY = 10_000


def clipped(world: World) -> World:
    """The world as ingest would have it: no event is later than its receipt."""
    events = tuple(replace(event, time_ms=min(event.time_ms, event.received_ms)) for event in world.events)
    return replace(world, events=events)


def mismatches(generated: dict[str, Any]) -> Iterator[str]:
    """Where engine and oracle differ on a pair; nothing where they agree."""
    world = clipped(world_of(generated))
    rule = generated["rule"]
    paused = frozenset(key for key, segment in world.segments.items() if isinstance(segment, bool))
    stream = Stream.of_world(rule, world, paused)
    for instant_ms in _instants(rule, world, generated["until_ms"]):
        stream.to(instant_ms)
        wanted = member(rule, world, instant_ms)
        if stream.member != wanted:
            yield f"at {instant_ms}: the oracle says {wanted}, the engine {stream.member}"
            return


def mismatches_late(generated: dict[str, Any], seed: int) -> Iterator[str]:
    """The same with a job that is behind by as much as the seed says: compared once it has caught up."""
    random = Random(seed)  # noqa: S311  a test's
    world = clipped(world_of(generated))
    rule = generated["rule"]
    paused = frozenset(key for key, segment in world.segments.items() if isinstance(segment, bool))
    stream = Stream.of_world(rule, world, paused)
    instants_ms = _instants(rule, world, generated["until_ms"])
    behind_ms = random.choice((1_000, 60_000, 3_600_000, instants_ms[-1] - instants_ms[0]))
    from_ms = stream.late(random, behind_ms)
    for instant_ms in sorted({from_ms, *(each for each in instants_ms if each > from_ms)}):
        stream.to(instant_ms)
        wanted = member(rule, world, instant_ms)
        if stream.member != wanted:
            yield f"at {instant_ms}: the oracle says {wanted}, the engine {stream.member}, up to {behind_ms} ms late"
            return


def mismatches_backfilled(generated: dict[str, Any], seed: int) -> Iterator[str]:
    """The same with a segment that is created in the middle of the stream and filled, as the seed says."""
    world = clipped(world_of(generated))
    rule = generated["rule"]
    paused = frozenset(key for key, segment in world.segments.items() if isinstance(segment, bool))
    stream = BackfilledStream(rule, world, paused, seed)
    for instant_ms in _instants(rule, world, generated["until_ms"]):
        stream.to(instant_ms)
        wanted = member(rule, world, instant_ms)
        if stream.due and stream.member != wanted:
            yield f"at {instant_ms}: the oracle says {wanted}, the engine {stream.member} after {stream.plan}"
            return


def _instants(rule: dict[str, Any], world: World, until_ms: int) -> list[int]:
    received = [event.received_ms for event in world.events]
    first_ms = min(received, default=until_ms) - 1
    moving = candidate_times(rule, world, first_ms, until_ms)
    around = {instant + shift for instant in moving for shift in (-1, 0, 1)}
    return sorted(instant for instant in {*received, *around, until_ms} if instant <= until_ms)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a run found. `mismatches` has a line for each pair that differs, beginning with its number."""

    first: int
    count: int
    processes: int
    seconds: float
    mismatches: tuple[str, ...]

    def __str__(self) -> str:
        last = self.first + self.count - 1
        return (
            f"{self.count:,} pairs, seeds {self.first} to {last}: {len(self.mismatches)} mismatches,"
            f" {self.seconds:.0f} s on {self.processes} processes"
        )


def compare(
    first: int, count: int, processes: int, progress: Callable[[int, tuple[str, ...]], None] = lambda *_: None
) -> Comparison:
    """The pairs first … first + count - 1, on so many processes; `progress` hears of each chunk that is done."""
    if count < 1:
        raise ValueError(f"{count} pairs")
    started_s = time.monotonic()
    found: list[str] = []
    done = 0
    end = first + count
    chunks = [range(start, min(start + CHUNK, end)) for start in range(first, end, CHUNK)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for numbers, lines in zip(chunks, pool.map(_chunk, chunks), strict=True):
            found += lines
            done += len(numbers)
            progress(done, tuple(lines))
    return Comparison(first, count, processes, time.monotonic() - started_s, tuple(found))


def _chunk(numbers: range) -> list[str]:
    found = []
    for number in numbers:
        try:
            generated = pair(number)
            found += [f"pair {number}: {mismatch}" for mismatch in mismatches(generated)]
            found += [f"pair {number}, late: {each}" for each in mismatches_late(generated, number)]
            found += [f"pair {number}, backfilled: {each}" for each in mismatches_backfilled(generated, number)]
        except Exception as error:
            error.add_note(f"pair {number}")
            raise
    return found


def main() -> int:
    """Run many pairs on all processors; exit status 1 where any differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=1, help="number of the first pair (the seed)")
    parser.add_argument("--count", type=int, default=10_000, help="how many pairs")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    started_s = time.monotonic()
    told = 0

    def progress(done: int, lines: tuple[str, ...]) -> None:
        nonlocal told
        for line in lines:
            print(line, flush=True)
        if done - told >= TOLD_EVERY:
            told = done
            print(f"{done:,} pairs, {time.monotonic() - started_s:.0f} s", file=sys.stderr, flush=True)

    comparison = compare(arguments.first, arguments.count, arguments.processes, progress)
    print(comparison)
    return 1 if comparison.mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
