"""Fills Kafka before a run: definitions of segments, and events of the workload; counts what they ask of the rules."""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from audience.adapters.kafka.producer import open_event_log
from audience.ports.event_log import LogRecord
from audience.wire.topics import EVENTS, SEGMENTS, SegmentRecord, encode, key_of
from load_tests.engine.workload import rules, workload

WORKSPACE: Final = "demo"
SEED: Final = 20_261_121
DAYS: Final = 60.0
SAMPLED: Final = 5_000
_CHUNK: Final = 20_000


@dataclass(frozen=True, slots=True)
class Load:
    """What was put into Kafka."""

    events: int
    profiles: int
    segments: int
    event_bytes: float
    rules_an_event: float
    """Rules with a pattern or a trait that the event fits, on average: those that have to be evaluated."""


def preload(bootstrap: str, events: int, profiles: int, segments: int) -> Load:
    """Write it all. Raises EventLogUnavailable."""
    rule_list = rules(segments, SEED)
    work = workload(events, profiles, DAYS, SEED)
    asyncio.run(_write(bootstrap, rule_list, work.events))
    return Load(events, profiles, segments, work.size_bytes, rules_an_event(rule_list, work.events))


async def _write(bootstrap: str, rule_list: Sequence[Any], events: Sequence[tuple[str, bytes, int]]) -> None:
    async with open_event_log(bootstrap, "bench-job", timeout_s=60.0) as log:
        await log.append(list(_definitions(rule_list)))
        for start in range(0, len(events), _CHUNK):
            await log.append([LogRecord(EVENTS, key, data) for key, data, _ in events[start : start + _CHUNK]])


def _definitions(rule_list: Sequence[Any]) -> Iterator[LogRecord]:
    for number, rule in enumerate(rule_list):
        record = SegmentRecord(
            workspace=WORKSPACE,
            key=f"segment-{number}",
            revision=number + 1,
            version=1,
            status="live",
            rule=msgspec.Raw(msgspec.json.encode(rule)),
        )
        yield LogRecord(SEGMENTS, key_of(WORKSPACE, record.key), encode(record))


def rules_an_event(rule_list: Sequence[Any], events: Sequence[tuple[str, bytes, int]]) -> float:
    """How many rules an event selects, on average over a sample of the events.

    A rule is selected by an event that fits one of its patterns, tests of properties included, or that gives one of
    the traits that it reads. What else a clock or another segment asks of it is not counted.
    """
    asked = [list(_asked(rule)) for rule in rule_list]
    sample = random.Random(SEED).sample(events, min(SAMPLED, len(events)))
    selected = 0
    for _, data, _ in sample:
        event = msgspec.json.decode(data)
        selected += sum(any(_fits(each, event) for each in patterns) for patterns in asked)
    return selected / len(sample)


def _asked(node: Any) -> Iterator[Mapping[str, Any]]:
    """Every pattern of events, and every trait, that a rule names."""
    if isinstance(node, list):
        for each in node:
            yield from _asked(each)
    elif isinstance(node, dict):
        if "event" in node or "trait" in node:
            yield node
        for each in node.values():
            yield from _asked(each)


def _fits(asked: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    if "trait" in asked:
        return asked["trait"] in event.get("traits", ())
    if asked["event"] != event.get("name"):
        return False
    return all(_holds(test, event["properties"]) for test in asked.get("where", ()))


def _holds(test: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    found = properties.get(test["property"])
    match test["op"]:
        case "eq":
            return bool(found == test["value"])
        case "gte":
            return bool(found >= test["value"])
    raise AssertionError(f"the workload has no test {test['op']}")
