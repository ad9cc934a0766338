"""The ids that events came with."""

from typing import Any

import msgspec
import pytest

from audience.adapters.kafka.consumer import Record
from services.projection.external_ids import read_ids

BASE = {"workspace": "w", "profile_id": "ada", "received_ms": 5, "type": "track"}


def seen(**event: Any) -> set[tuple[str, str]]:
    value = msgspec.json.encode({**BASE, **event})
    items = read_ids([Record("events", 0, 0, 0, b"w:ada", value)]).items
    assert all(each.profile[0] == "w" and each.profile[3:] == ("ada", 5) for each in items)  # type: ignore[index]
    return {tuple(each.profile[1:3]) for each in items}  # type: ignore[index]


@pytest.mark.parametrize(
    ("event", "ids"),
    [
        ({"user_id": "ada"}, set()),
        ({"anonymous_id": "ada"}, set()),
        ({"user_id": "ada", "anonymous_id": "b1", "group_id": "g"}, {("anonymous_id", "b1"), ("group_id", "g")}),
        ({"type": "identify", "traits": {"email": "a@x"}}, {("email", "a@x")}),
        ({"type": "group", "traits": {"email": "team@x"}}, set()),
        ({"context": {"traits": {"email": "a@x"}}}, {("email", "a@x")}),
        ({"type": "identify", "traits": {"email": 5}, "context": {"traits": {"email": ""}}}, set()),
        ({"context": {"externalIds": [{"type": "crm", "id": "7"}]}}, {("crm", "7")}),
        ({"context": {"externalIds": [{"type": "crm", "id": 7}, 5, {"type": "a:b", "id": "1"}, {}]}}, set()),
        ({"context": {"externalIds": [{"type": "crm", "id": "x" * 2_000}, {"type": "user_id", "id": "bob"}]}}, set()),
        ({"context": {"externalIds": "none"}}, set()),
        ({"context": [], "traits": []}, set()),
    ],
)
def test_what_is_an_id(event: dict[str, Any], ids: set[tuple[str, str]]) -> None:
    assert seen(**event) == ids


@pytest.mark.parametrize("value", [None, b"", b"{", b"{}", b"\xff"])
def test_what_is_no_event_has_none(value: bytes | None) -> None:
    assert read_ids([Record("events", 0, 0, 0, b"w:ada", value)]).items == []
