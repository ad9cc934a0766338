"""Our engine hosted in Quix Streams: `python -m load_tests.peers.quix`, in an environment with `quixstreams`.

By its guide: one `Application` a process, a streaming dataframe with state by key (RocksDB and a changelog topic), and
as many processes as partitions. Reads the definitions once, at its start; it has no timers, so nothing leaves by time
alone. Ends when it has read its partitions up to where they ended at its start.
"""

import argparse
import os
import time

import msgspec
from quixstreams import Application
from quixstreams.state import State

from audience.adapters.kafka.reader import read_compacted
from audience.adapters.regex import compile_regex
from audience.engine.evaluate import Event, on_event
from audience.engine.program import Program
from audience.rules import parse_rule
from audience.wire import topics
from audience.wire.state import decode_state, encode_state, new_state

IDLE_S = 5.0


def program(bootstrap: str) -> Program:
    """The live segments of the topic."""
    made = Program(compile_regex)
    for value in read_compacted(bootstrap, topics.SEGMENTS).values():
        record = topics.decode_segment(value)
        rule = parse_rule(msgspec.json.decode(record.rule), regex=compile_regex)
        made.put(record.key, rule, version=record.version, revision=record.revision)
    return made


def main() -> None:
    """Evaluate until nothing comes for a while."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--state", required=True)
    asked = parser.parse_args()
    rules = program(asked.bootstrap)
    app = Application(
        broker_address=asked.bootstrap,
        consumer_group=asked.group,
        auto_offset_reset="earliest",
        state_dir=f"{asked.state}/{os.getpid()}",
        loglevel="WARNING",
    )
    source = app.topic(topics.EVENTS, key_deserializer="str", value_deserializer="bytes")
    sink = app.topic("bench.quix", key_serializer="str", value_serializer="bytes")

    def evaluate(value: bytes, state: State) -> bytes | None:
        event = Event.parse(value)
        kept = state.get_bytes("profile")
        profile = new_state(event.profile_id) if kept is None else decode_state(kept)
        outcome = on_event(rules, profile, event, time.time_ns() // 1_000_000)
        state.set_bytes("profile", encode_state(profile))
        if not outcome.visible:
            return None
        return topics.encode(
            topics.ProfileRecord(
                workspace=event.workspace, profile_id=event.profile_id, version=profile.version,
                created_ms=profile.created_ms, updated_ms=profile.updated_ms, traits=profile.traits,
                computed=profile.computed,
                segments=[topics.Membership(key, since_ms) for key, since_ms in profile.segments.items()],
            )
        )  # fmt: skip

    app.dataframe(source).apply(evaluate, stateful=True).filter(lambda told: told is not None).to_topic(sink)
    app.run(timeout=IDLE_S)


if __name__ == "__main__":
    main()
