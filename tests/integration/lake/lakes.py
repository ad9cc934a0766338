"""A lake in a folder, filled with the events of generated pairs or with any others."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from audience.adapters.kafka.history import partition_of
from audience.adapters.lake.bronze import DeltaArchive
from audience.adapters.lake.duck import Bounds, open_duck
from audience.adapters.lake.silver import Refining
from audience.adapters.lake.tables import LakeLocation
from audience.ports.lake import LogEntry, Refined
from audience.wire.topics import EventRecord, encode, key_of
from tests.oracle import World

PARTITIONS = 2
BOUNDS = Bounds(memory_mb=256, threads=1)


def location_in(folder: Path) -> LakeLocation:
    return LakeLocation(str(folder / "lake"))


def records_of(world: World, workspace: str) -> list[EventRecord]:
    """A world's events as ingest-api would have them: none later than its receipt."""
    return [
        EventRecord(
            workspace=workspace,
            source=event.source,
            profile_id=event.profile_id,
            message_id=event.message_id,
            type=event.type,
            name=event.name,
            time_ms=min(event.time_ms, event.received_ms),
            received_ms=event.received_ms,
            properties=dict(event.properties),
            context=dict(event.context),
            traits=dict(event.traits),
        )
        for event in sorted(world.events, key=lambda each: each.received_ms)
    ]


def entries_of(records: Iterable[EventRecord], places: dict[int, int]) -> list[LogEntry]:
    """The records as they would lie in the log; `places` are the next offsets, and move on."""
    found = []
    for record in records:
        key = key_of(record.workspace, record.profile_id).encode()
        partition = partition_of(key, PARTITIONS)
        offset = places.get(partition, 0)
        places[partition] = offset + 1
        found.append(LogEntry(partition, offset, record.received_ms, key, encode(record)))
    return found


def fill(location: LakeLocation, entries: Sequence[LogEntry], complete_to_ms: int) -> Refined:
    """Archive and refine."""
    DeltaArchive(location).append(entries, complete_to_ms)
    with open_duck(location, BOUNDS) as duck:
        return Refining(location, duck).step(1 << 30)
