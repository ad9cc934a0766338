"""How much one request may hold (segment-protocol, rule 7). Values, so that a test may use small ones."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """`body_bytes` counts a request's body unpacked, `event_bytes` an event's own JSON as received."""

    body_bytes: int = 4 * 1024 * 1024
    batch_events: int = 2_500
    event_bytes: int = 32 * 1024
    event_depth: int = 100
    """Objects and lists within each other. The jobs and the stores walk events recursively, with finite stacks."""
