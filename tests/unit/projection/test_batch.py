"""From records to profiles, and to what is set aside."""

import pytest

from audience.adapters.kafka.consumer import Record
from audience.profiles.model import Membership as StoredMembership
from audience.wire.topics import Membership, ProfileRecord, decode_bad_event, encode
from services.projection.batch import UNDECODABLE, bad_record, read_batch


def record(value: bytes | None, offset: int = 0, key: bytes = b"w:a") -> Record:
    return Record("profiles", 2, offset, 1_000, key, value)


def of(profile_id: str, version: int, workspace: str = "w") -> Record:
    made = ProfileRecord(
        workspace=workspace,
        profile_id=profile_id,
        version=version,
        created_ms=1,
        updated_ms=2,
        traits={"a": 1},
        computed={"b": 2},
        segments=[Membership("vip", 5)],
    )
    return record(encode(made), version)


def test_a_record_becomes_a_profile() -> None:
    [item] = read_batch([of("a", 3)]).items
    assert (item.profile.workspace, item.profile.profile_id, item.profile.version) == ("w", "a", 3)
    assert (item.profile.created_ms, item.profile.updated_ms) == (1, 2)
    assert (item.profile.traits, item.profile.computed) == ({"a": 1}, {"b": 2})
    assert item.profile.segments == (StoredMembership("vip", 5),)


def test_the_newest_version_of_each_profile_stays() -> None:
    batch = read_batch([of("a", 1), of("a", 3), of("b", 1), of("a", 2), of("a", 9, "v")])
    assert {(each.profile.workspace, each.profile.profile_id, each.profile.version) for each in batch.items} == {
        ("w", "a", 3), ("w", "b", 1), ("v", "a", 9),
    }  # fmt: skip
    assert batch.stale == 2


def test_tombstones_are_passed_over() -> None:
    batch = read_batch([record(None), of("a", 1)])
    assert (len(batch.items), batch.tombstones) == (1, 1)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b"\xff\xfe",
        b'{"schema":"profile/1"}',
        b'{"schema":"profile/2","workspace":"w","profile_id":"a","version":1,"created_ms":1,"updated_ms":1}',
        b'{"schema":"profile/1","workspace":"w","profile_id":"a","version":"1","created_ms":1,"updated_ms":1}',
        b'{"schema":"profile/1","workspace":"w","profile_id":"a","version":1.5,"created_ms":1,"updated_ms":1}',
        b'{"schema":"profile/1","workspace":"w","profile_id":"\xed\xa0\x80","version":1,"created_ms":1,"updated_ms":1}',
        b'{"schema":"profile/1","traits":' + b"[" * 100_000,
    ],
)
def test_what_cannot_be_decoded_stops_nothing(value: bytes) -> None:
    batch = read_batch([of("a", 1), record(value), of("b", 1)])
    assert len(batch.items) == 2
    [(bad, why)] = batch.bad
    assert bad.value == value
    assert why


def test_what_is_set_aside_keeps_its_bytes_and_its_reason() -> None:
    kept = bad_record(record(b"\xff{", 7, "w:ü:x".encode()), UNDECODABLE, "no JSON", 5)
    assert (kept.topic, kept.key) == ("events.bad", "w:ü:x")
    told = decode_bad_event(kept.value or b"")
    assert (told.workspace, told.profile_id, told.source, told.code) == (
        "w",
        "ü:x",
        "projection",
        "undecodable_profile",
    )
    assert told.original == b"\xff{"
    assert told.message == "profiles/2 at 7: no JSON"
    assert told.received_ms == 5


@pytest.mark.parametrize("key", [None, b"", b"no-colon", b"\xff\xff"])
def test_any_key_will_do(key: bytes | None) -> None:
    kept = bad_record(Record("profiles", 0, 0, 0, key, b""), UNDECODABLE, "", 0)
    assert decode_bad_event(kept.value or b"").profile_id is None
