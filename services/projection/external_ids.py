"""From events to the ids that they came with. Pure; refuses nothing: what is no event says nothing of ids."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from audience.adapters.kafka.consumer import Record
from audience.events.ids import ids_of
from audience.ports.external_ids import SeenId
from services.projection.batch import Batch, Item

LONGEST_BYTES: Final = 1_024
"""A longer id is no id, and would not go into an index."""


class _Event(msgspec.Struct, frozen=True, gc=False):
    """What is read of an event here; the rest is passed over, not decoded."""

    workspace: str
    profile_id: str
    received_ms: int
    type: str
    anonymous_id: str | None = None
    group_id: str | None = None
    traits: Any = None
    context: Any = None
    user_id: str | None = None


_decode: Final = msgspec.json.Decoder(_Event).decode


def read_ids(records: Sequence[Record]) -> Batch:
    """The ids of each event but the profile's own."""
    batch = Batch()
    for record in records:
        try:
            event = _decode(record.value or b"")
        except (msgspec.MsgspecError, ValueError, RecursionError):
            batch.stale += 1  # the job sets aside what is no event
            continue
        batch.items += [Item(record, seen) for seen in _seen(event)]
    return batch


def _seen(event: _Event) -> Iterator[SeenId]:
    for each in ids_of(event):
        own = each.type in ("user_id", "anonymous_id") and each.id == event.profile_id
        if not own and each.type != "user_id" and len(each.id.encode()) <= LONGEST_BYTES:
            yield SeenId(event.workspace, each.type, each.id, event.profile_id, event.received_ms)
