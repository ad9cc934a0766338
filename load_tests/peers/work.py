"""The work that every peer gets: the benchmarks' rules, events that end before now, and what the oracle says of them.

Rules look back from the clock, and peers run one after the other. So that all must give the same answers, no event lies
where a window's begin passes while they run.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from audience.wire.topics import key_of
from load_tests.engine.workload import WINDOWS, rules, workload

WORKSPACE: Final = "demo"
SEED: Final = 20_261_121
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
MARKER: Final = "Peers Marker"
MARKERS: Final = 24
"""Profiles whose only event comes last. So many are in every partition of a few."""
LENGTHS_MS: Final = tuple(
    int(name[:-1]) * (HOUR_MS if name.endswith("h") else DAY_MS) for name, _ in WINDOWS if name is not None
)

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """Rules by key, events in order (as the topic `events` holds them), and the oracle's answers for some profiles."""

    rules: Mapping[str, Mapping[str, Any]]
    events: Sequence[Record]
    oracle: Mapping[str, frozenset[str]]

    @property
    def profiles(self) -> list[str]:
        return sorted({each["profile_id"] for each in self.events})


def work(rule_count: int, events: int, profiles: int, sample: int) -> Work:
    """The work for so many rules; the oracle is asked of `sample` profiles."""
    written = {f"peers-{number:04}": rule for number, rule in enumerate(rules(rule_count, SEED))}
    found = _shifted(workload(events, profiles, days=60, seed=SEED).events, time.time_ns() // 1_000_000)
    names = sorted({each["profile_id"] for each in found})
    step = max(1, len(names) // max(1, sample))
    chosen = names[::step][:sample]
    return Work({**written, "peers-marker": {"event": MARKER}}, found, oracle(written, found, chosen))


def _shifted(raw: Sequence[tuple[str, bytes, int]], now_ms: int) -> list[Record]:
    """The events with times that end two hours ago, without those too near a window's begin."""
    shift_ms = now_ms - 2 * HOUR_MS - raw[-1][2]
    found = []
    for _, data, at_ms in raw:
        time_ms = at_ms + shift_ms
        if not any(_near(now_ms - time_ms, length_ms) for length_ms in LENGTHS_MS):
            record = msgspec.json.decode(data)
            record["time_ms"] = record["received_ms"] = time_ms
            found.append(record)
    return found


def _near(age_ms: int, length_ms: int) -> bool:
    step_ms = DAY_MS if length_ms > 31 * DAY_MS else HOUR_MS
    return length_ms - HOUR_MS - step_ms < age_ms < length_ms + HOUR_MS + step_ms


def oracle(
    rules_: Mapping[str, Mapping[str, Any]], events: Sequence[Record], profiles: Sequence[str]
) -> dict[str, frozenset[str]]:
    """The segments of these profiles by the tests' slow evaluator, which shares no code with the engine."""
    from tests.oracle import Event, World, member

    now_ms = time.time_ns() // 1_000_000
    fields = ("time_ms", "received_ms", "message_id", "type")
    found = {}
    for profile in profiles:
        mine = tuple(
            Event(
                **{name: each[name] for name in fields},
                name=each.get("name", ""),
                user_id=profile,
                properties=each.get("properties", {}),
                context=each.get("context", {}),
                traits=each.get("traits", {}),
            )
            for each in events
            if each["profile_id"] == profile
        )
        world = World(profile, mine)
        found[profile] = frozenset(key for key, rule in rules_.items() if member(rule, world, now_ms))
    return found


def renamed(events: Sequence[Record], run: str) -> list[tuple[str, bytes]]:
    """Keys and values for a topic, with profiles of this run's own; at the end the markers."""
    found = []
    for each in events:
        profile = f"{run}-{each['profile_id']}"
        record = {**each, "profile_id": profile, "user_id": profile, "message_id": f"{run}-{each['message_id']}"}
        found.append((key_of(WORKSPACE, profile), msgspec.json.encode(record)))
    return found


def markers(run: str, kind: str) -> dict[str, bytes]:
    """Keys and values of events that come last (or first, to see that a peer is there)."""
    now_ms = time.time_ns() // 1_000_000
    found = {}
    for number in range(MARKERS):
        profile = f"{run}-{kind}-{number}"
        record = {
            "schema": "event/1",
            "workspace": WORKSPACE,
            "source": "s1",
            "profile_id": profile,
            "user_id": profile,
            "message_id": profile,
            "type": "track",
            "name": MARKER,
            "time_ms": now_ms,
            "received_ms": now_ms,
        }
        found[key_of(WORKSPACE, profile)] = msgspec.json.encode(record)
    return found
