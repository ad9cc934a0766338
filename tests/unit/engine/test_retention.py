"""What is kept of a profile once it is forgotten, and from when its silence counts."""

import base64

from audience.engine.evaluate import Event, on_event, on_lists
from audience.engine.program import Program
from audience.engine.state import ProfileState
from audience.rules import parse_rule
from audience.wire.state import decode_state, encode_state, new_state
from audience.wire.topics import EventRecord, encode
from tests.engine_stream import REGEX

NOW_MS = 1_790_000_000_000
OF_VERSION_3 = (
    "AwNhZGGAsIPFmGiAsIPFmGiAsIPFmGiAsIPFmGgCBwACAwABA3ZpcAABkMsHAsvKXiQXAk2RBlqPv+L8OPoAAAABQkpgGRSPizMAbFDEoAEIB3N1"
    "YmplY3QBUN8qVnc/U6UAWPQYqAEvAAAAgLCDxZhoAY4/37PRiq5PAQQCgLCfyuoBAgAAAgAAAAGETfnEvHyHzwYCAdrDAgI="
)
"""Of ada, on the list vip, version 7, who bought twice at NOW_MS and is in `subject` therefore."""


def program() -> Program:
    made = Program(REGEX)
    rule = parse_rule({"event": "Bought", "within": "52w", "is": {"gte": 2}}, regex=REGEX)
    made.put("subject", rule, version=1, revision=1)
    return made


def bought(state: ProfileState, message_id: str, at_ms: int, now_ms: int) -> None:
    record = EventRecord(
        workspace="demo", source="s1", profile_id="ada", message_id=message_id, type="track", name="Bought",
        time_ms=at_ms, received_ms=at_ms,
    )  # fmt: skip
    event = Event.parse(encode(record))
    assert event is not None
    on_event(program(), state, event, now_ms)


def test_silence_counts_from_the_newest_acceptance_and_not_from_when_it_was_processed() -> None:
    state = new_state("ada")
    assert state.heard_ms == 0
    bought(state, "m1", NOW_MS, NOW_MS + 9_000)
    bought(state, "m0", NOW_MS - 5_000, NOW_MS + 9_000)
    assert decode_state(encode_state(state)).heard_ms == NOW_MS


def test_a_copy_and_a_list_are_heard_too() -> None:
    state = new_state("ada")
    bought(state, "m1", NOW_MS, NOW_MS)
    bought(state, "m1", NOW_MS + 1_000, NOW_MS + 1_000)
    assert state.heard_ms == NOW_MS + 1_000
    on_lists(program(), state, {"vip"}, NOW_MS + 2_000)
    assert state.heard_ms == NOW_MS + 2_000


def test_a_forgotten_profile_keeps_its_version_and_its_lists_and_nothing_else() -> None:
    state = decode_state(base64.b64decode(OF_VERSION_3))
    state.forget(NOW_MS + 1_000)
    fresh = new_state("ada")
    on_lists(program(), fresh, {"vip"}, NOW_MS + 1_000)
    kept = decode_state(encode_state(state))
    assert (kept.version, kept.lists, kept.created_ms, kept.segments, kept.traits) == (7, {"vip"}, 0, {}, {})
    assert (kept.updated_ms, kept.heard_ms, kept.now_ms) == (NOW_MS + 1_000,) * 3
    assert len(encode_state(state)) <= len(encode_state(fresh)) + 16
    bought(kept, "old1", NOW_MS + 2_000, NOW_MS + 2_000)
    assert kept.segments == {}  # what it bought before does not count, nor is that known for a copy
    bought(kept, "new", NOW_MS + 3_000, NOW_MS + 3_000)
    assert set(kept.segments) == {"subject"}


def test_a_state_that_did_not_know_when_it_was_heard_is_read() -> None:
    data = base64.b64decode(OF_VERSION_3)
    assert data[0] == 3
    state = decode_state(data)
    assert state.heard_ms == state.now_ms == NOW_MS
    assert (state.version, state.lists, set(state.segments)) == (7, {"vip"}, {"subject"})
    assert encode_state(state)[0] == 4
