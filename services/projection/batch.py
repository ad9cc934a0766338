"""From records of Kafka to profiles, and to what cannot be one. Pure; refuses nothing, since nothing may stop it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from audience.adapters.kafka.consumer import Record
from audience.ports.event_log import LogRecord
from audience.ports.external_ids import SeenId
from audience.profiles.model import Profile
from audience.wire.topics import EVENTS_BAD, BadEventRecord, ProfileRecord, decode_profile, encode

UNDECODABLE: Final = "undecodable_profile"
UNSTORABLE: Final = "unstorable_profile"
SOURCE: Final = "projection"


class Item(NamedTuple):
    """A profile, or what an event says of its ids, and the record that it came in."""

    record: Record
    profile: Profile | SeenId

    @property
    def since_ms(self) -> int:
        """When what it says became so, in Unix ms."""
        return self.profile.received_ms if isinstance(self.profile, SeenId) else self.profile.updated_ms


@dataclass(slots=True)
class Batch:
    """The versions of profiles to write, what could not be decoded and why, how many records were passed over."""

    items: list[Item] = field(default_factory=list)
    bad: list[tuple[Record, str]] = field(default_factory=list)
    stale: int = 0
    tombstones: int = 0


def read_batch(records: Sequence[Record], *, every_version: bool = False) -> Batch:
    """Decode the records; of several versions of a profile the newest is wanted, or every one.

    A tombstone says that the log forgets a profile; the stores forget by their own retention.
    """
    batch = Batch()
    newest: dict[tuple[str, str], tuple[Record, Profile]] = {}
    for record in records:
        if record.value is None:
            batch.tombstones += 1
            continue
        try:
            profile = _profile(decode_profile(record.value))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            batch.bad.append((record, f"{type(error).__name__}: {error}"))
            continue
        if every_version:
            batch.items.append(Item(record, profile))
            continue
        key = (profile.workspace, profile.profile_id)
        known = newest.get(key)
        if known is not None:
            batch.stale += 1
        if known is None or known[1].version < profile.version:
            newest[key] = record, profile
    batch.items += [Item(*each) for each in newest.values()]
    return batch


def _profile(record: ProfileRecord) -> Profile:
    return Profile(
        workspace=record.workspace,
        profile_id=record.profile_id,
        version=record.version,
        created_ms=record.created_ms,
        updated_ms=record.updated_ms,
        traits=record.traits,
        computed=record.computed,
        segments=tuple(record.segments),
    )


def bad_record(record: Record, code: str, message: str, now_ms: int) -> LogRecord:
    """What `events.bad` keeps of a record that no store will hold: its bytes, and why."""
    key = (record.key or b"").decode(errors="replace")
    workspace, _, profile_id = key.partition(":")
    value = BadEventRecord(
        workspace=workspace,
        source=SOURCE,
        code=code,
        path="",
        message=f"{record.topic}/{record.partition} at {record.offset}: {message}",
        received_ms=now_ms,
        original=record.value or b"",
        profile_id=profile_id or None,
    )
    return LogRecord(EVENTS_BAD, key, encode(value))
