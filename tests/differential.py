"""The engine beside the oracle: one generated pair, compared after every event and at every instant that could matter.

`python -m tests.differential --first 1 --count 1000000` is the long run; the tests run some thousands.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

from tests.engine_stream import Stream
from tests.generate import pair, world_of
from tests.oracle import World, candidate_times, member

CHUNK = 250


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


def _instants(rule: dict[str, Any], world: World, until_ms: int) -> list[int]:
    received = [event.received_ms for event in world.events]
    first_ms = min(received, default=until_ms) - 1
    moving = candidate_times(rule, world, first_ms, until_ms)
    around = {instant + shift for instant in moving for shift in (-1, 0, 1)}
    return sorted(instant for instant in {*received, *around, until_ms} if instant <= until_ms)


def _chunk(first: int) -> list[str]:
    return [
        f"pair {number}: {mismatch}" for number in range(first, first + CHUNK) for mismatch in mismatches(pair(number))
    ]


def main() -> int:
    """Run many pairs on all processors; exit status 1 where any differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=1, help="number of the first pair (the seed)")
    parser.add_argument("--count", type=int, default=10_000, help="how many pairs")
    arguments = parser.parse_args()
    started = time.monotonic()
    found = 0
    with ProcessPoolExecutor() as pool:
        starts = range(arguments.first, arguments.first + arguments.count, CHUNK)
        for done, lines in enumerate(pool.map(_chunk, starts), 1):
            found += len(lines)
            for line in lines:
                print(line)
            if done % 40 == 0:
                print(f"{done * CHUNK} pairs, {found} mismatches, {time.monotonic() - started:.0f} s", file=sys.stderr)
    print(f"{len(starts) * CHUNK} pairs from {arguments.first}: {found} mismatches, {time.monotonic() - started:.0f} s")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
