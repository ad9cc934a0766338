"""Keys and records of the topics."""

import msgspec
import pytest

from audience.wire.topics import EventRecord, ExplainCommand, decode_event, decode_profile_command, encode, key_of


def test_a_key_carries_its_workspace() -> None:
    assert key_of("demo", "u:1") == "demo:u:1"
    assert key_of("demo", "u:1").partition(":")[::2] == ("demo", "u:1")


def test_events_and_commands_share_a_stream() -> None:
    command = ExplainCommand(workspace="demo", profile_id="u", request_id="r", segment="s")
    event = EventRecord(
        workspace="demo", source="s", profile_id="u", message_id="m", type="track", time_ms=1, received_ms=2
    )
    assert decode_profile_command(encode(command)) == command
    assert decode_event(encode(event)) == event
    assert msgspec.json.decode(encode(event))["schema"] == "event/1"


def test_an_unknown_schema_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="schema"):
        decode_profile_command(b'{"schema": "event/2"}')


def test_an_unknown_field_is_ignored() -> None:
    command = ExplainCommand(workspace="demo", profile_id="u", request_id="r", segment="s")
    assert decode_profile_command(encode(command)[:-1] + b', "new": 1}') == command
