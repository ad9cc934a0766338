"""Quix Streams with the rules as plain Python: the service of its own guide, a stateful function over a topic.

    .venv-peers/bin/python -m load_tests.peers.quix_plain --input events --output memberships --rules rules.json

JSON in, state by key in RocksDB with its changelog topic, JSON out, at least once: the library's own defaults. Run
twice with one consumer group, each process has one of two partitions.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from quixstreams import Application, State

from load_tests.peers.plain_rules import Rules


def main() -> None:
    """The service, until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--rules", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    asked = parser.parse_args()
    rules = Rules(json.loads(asked.rules.read_text(encoding="utf-8")))
    app = Application(
        broker_address=asked.bootstrap,
        consumer_group=asked.group,
        auto_offset_reset="earliest",
        state_dir=asked.state,
        loglevel="WARNING",
    )
    events = app.topic(asked.input, key_deserializer="str", value_deserializer="json")
    memberships = app.topic(asked.output, key_serializer="str", value_serializer="json")

    def evaluate(event: dict[str, Any], state: State) -> list[dict[str, Any]]:
        now_ms = time.time_ns() // 1_000_000
        return [{"segment": key, "member": member} for key, member in rules.on_event(event, state, now_ms)]

    app.dataframe(events).apply(evaluate, stateful=True, expand=True).to_topic(memberships)
    app.run()


if __name__ == "__main__":
    main()
