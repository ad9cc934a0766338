"""A profile's history in commands of a size that Kafka takes."""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Raw

PART_BYTES: Final = 400_000
"""A command holds about so many bytes of events at most; Kafka takes 1 MiB."""

Placed = tuple[int, Raw]
"""An event behind its offset."""


def in_parts(events: Iterable[Placed], most_bytes: int = PART_BYTES) -> Iterator[tuple[Placed, ...]]:
    """The events in parts, in their order; one part without events where there are none."""
    part: list[Placed] = []
    size = 0
    for offset, event in events:
        length = len(bytes(event))
        if part and size + length > most_bytes:
            yield tuple(part)
            part, size = [], 0
        part.append((offset, event))
        size += length
    yield tuple(part)
