"""What an event means: rules 4, 7, 9 and 11 of the protocol, one line after the other."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience.events.normalise import Envelope, NotValid, decimal_text, normalise

RECEIVED_MS = 1_767_268_800_000  # 2026-01-01T12:00:00Z


@dataclass(frozen=True, slots=True)
class Sent:
    """An event as it was sent; a valid one but for its id."""

    type: str | None = "track"
    event: str | None = "Order Completed"
    name: str | None = None
    message_id: float | str | None = "m1"
    user_id: float | str | None = None
    anonymous_id: float | str | None = None
    previous_id: float | str | None = None
    group_id: float | str | None = None
    timestamp: str | None = None
    original_timestamp: str | None = None
    sent_at: str | None = None
    properties: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    integrations: dict[str, Any] | None = None


def envelope(**parts: Any) -> Envelope:
    return Envelope("demo", "shop", RECEIVED_MS, lambda: "made", **parts)


def record(around: Envelope | None = None, **parts: Any) -> dict[str, Any]:
    made: dict[str, Any] = normalise(Sent(**({"user_id": "u1"} | parts)), around or envelope(), dict)
    return made


def refusal(around: Envelope | None = None, **parts: Any) -> tuple[str, str]:
    with pytest.raises(NotValid) as caught:
        record(around, **parts)
    assert caught.value.message
    return caught.value.code, caught.value.path


def test_everything_is_kept() -> None:
    made = record(
        type="track",
        anonymous_id="a1",
        previous_id="old",
        group_id="g1",
        timestamp="2026-01-01T11:59:58.000Z",
        sent_at="2026-01-01T11:59:59Z",
        properties={"total": 5},
        context={"traits": {"plan": "pro"}},
        traits={"plan": None},
        integrations={"All": True},
    )
    assert made == {
        "workspace": "demo",
        "source": "shop",
        "profile_id": "u1",
        "message_id": "m1",
        "type": "track",
        "time_ms": RECEIVED_MS - 1_000,
        "received_ms": RECEIVED_MS,
        "name": "Order Completed",
        "user_id": "u1",
        "anonymous_id": "a1",
        "previous_id": "old",
        "group_id": "g1",
        "properties": {"total": 5},
        "context": {"traits": {"plan": "pro"}},
        "traits": {"plan": None},
        "integrations": {"All": True},
        "original_timestamp": "2026-01-01T11:59:58.000Z",
        "sent_at": "2026-01-01T11:59:59Z",
    }


@pytest.mark.parametrize(
    ("user_id", "anonymous_id", "profile_id"),
    [
        ("u1", None, "u1"),
        ("u1", "a1", "u1"),
        (None, "a1", "a1"),
        ("", "a1", "a1"),
        (7, "a1", "7"),
        (0, "a1", "0"),
        (" ", "a1", " "),  # white space is kept as it is
        ("\t", None, "\t"),
        (None, 12, "12"),
        ("é" * 512, None, "é" * 512),  # 1,024 bytes
    ],
)
def test_the_profile_is_the_user_or_else_the_anonymous(user_id: Any, anonymous_id: Any, profile_id: str) -> None:
    assert record(user_id=user_id, anonymous_id=anonymous_id)["profile_id"] == profile_id


def test_an_empty_user_id_is_none() -> None:
    assert record(user_id="", anonymous_id="a1")["user_id"] is None


@pytest.mark.parametrize(
    ("parts", "code", "path"),
    [
        ({"user_id": None}, "missing_id", ""),
        ({"user_id": "", "anonymous_id": ""}, "missing_id", ""),
        ({"type": None}, "unknown_type", ""),
        ({"type": "Track"}, "unknown_type", "/type"),
        ({"type": ""}, "unknown_type", "/type"),
        ({"type": "batch"}, "unknown_type", "/type"),
        ({"event": None}, "missing_name", ""),
        ({"event": ""}, "missing_name", "/event"),
        ({"timestamp": "now"}, "bad_timestamp", "/timestamp"),
        ({"timestamp": ""}, "bad_timestamp", "/timestamp"),
        ({"original_timestamp": "now"}, "bad_timestamp", "/originalTimestamp"),
        ({"sent_at": "now"}, "bad_timestamp", "/sentAt"),
        ({"timestamp": "now", "original_timestamp": "2026-01-01"}, "bad_timestamp", "/timestamp"),
        ({"timestamp": "0001-01-02", "sent_at": "9999-01-01"}, "bad_timestamp", "/sentAt"),
        ({"message_id": "m" * 101}, "message_id_too_long", "/messageId"),
        ({"user_id": "u" * 1025}, "id_too_long", "/userId"),
        ({"user_id": "é" * 513}, "id_too_long", "/userId"),
        ({"anonymous_id": "a" * 1025}, "id_too_long", "/anonymousId"),
        ({"group_id": "g" * 1025}, "id_too_long", "/groupId"),
        ({"previous_id": "p" * 1025}, "id_too_long", "/previousId"),
        ({"user_id": "a\0b"}, "bad_id", "/userId"),
        ({"message_id": "a\0b"}, "bad_id", "/messageId"),
    ],
)
def test_what_is_not_valid(parts: dict[str, Any], code: str, path: str) -> None:
    assert refusal(**parts) == (code, path)


@pytest.mark.parametrize("type_", ["identify", "track", "page", "screen", "group", "alias"])
def test_every_type_needs_an_id_and_nothing_but_track_a_name(type_: str) -> None:
    assert refusal(type=type_, user_id=None) == ("missing_id", "")
    made = record(type=type_, event="E", name="N")
    assert made["type"] == type_
    assert made["name"] == {"track": "E", "page": "N", "screen": "N"}.get(type_, "")


@pytest.mark.parametrize("type_", ["page", "screen"])
def test_a_page_without_a_name_has_the_empty_one(type_: str) -> None:
    assert record(type=type_, event=None)["name"] == ""


def test_the_type_of_the_route_counts() -> None:
    assert record(envelope(route_type="identify"), type="nonsense")["type"] == "identify"


@pytest.mark.parametrize(("message_id", "kept"), [("m" * 100, "m" * 100), (None, "made"), ("", "made"), (5, "5")])
def test_a_message_id_is_made_where_it_is_missing(message_id: Any, kept: str) -> None:
    assert record(message_id=message_id)["message_id"] == kept


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (42, "42"),
        (42.0, "42"),
        (-1, "-1"),
        (0, "0"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1.50, "1.5"),
        (100.0, "100"),
        (1e21, "1" + "0" * 21),
        (1e-7, "0.0000001"),
        (9007199254740993, "9007199254740993"),
        (10**308, "1" + "0" * 308),
    ],
)
def test_a_numeric_id_becomes_its_decimal_text(number: float, text: str) -> None:
    assert decimal_text(number) == text
    assert record(user_id=number)["user_id"] == text


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_decimal_text_of_a_number_is_that_number(number: float) -> None:
    text = decimal_text(number)
    assert float(text) == number
    assert "e" not in text.lower()


@pytest.mark.parametrize(
    ("times", "batch_sent_at", "expected_ms", "original"),
    [
        ({}, None, 0, None),
        ({}, "2026-01-01T00:00:00Z", 0, None),
        ({"timestamp": "2026-01-01T11:00:00Z"}, None, -3_600_000, "2026-01-01T11:00:00Z"),
        ({"timestamp": "2027-01-01T00:00:00Z"}, None, 0, "2027-01-01T00:00:00Z"),
        ({"timestamp": "2025-06-01T00:00:00.000Z"}, "2025-06-01T00:00:00.250Z", -250, "2025-06-01T00:00:00.000Z"),
        # originalTimestamp counts over timestamp
        (
            {"timestamp": "2025-06-01T00:00:00Z", "original_timestamp": "2025-06-01T00:00:01Z"},
            "2025-06-01T00:00:05Z",
            -4_000,
            "2025-06-01T00:00:01Z",
        ),
        # the event's sentAt counts over the batch's
        (
            {"timestamp": "2025-06-01T00:00:00Z", "sent_at": "2025-06-01T00:00:02Z"},
            "2025-06-01T00:00:09Z",
            -2_000,
            "2025-06-01T00:00:00Z",
        ),
        # digits beyond the millisecond are cut before the difference is taken
        ({"timestamp": "2025-06-01T00:00:00.0009Z"}, "2025-06-01T00:00:00.0011Z", -1, "2025-06-01T00:00:00.0009Z"),
    ],
)
def test_the_time_is_corrected(
    times: dict[str, str], batch_sent_at: str | None, expected_ms: int, original: str | None
) -> None:
    made = record(envelope(sent_at=batch_sent_at), **times)
    assert made["time_ms"] == RECEIVED_MS + expected_ms
    assert made["original_timestamp"] == original
    assert made["sent_at"] == times.get("sent_at", batch_sent_at)


def test_a_batchs_unreadable_sent_at_counts_only_for_events_without_one() -> None:
    around = envelope(sent_at="soon")
    assert refusal(around) == ("bad_timestamp", "/sentAt")
    assert record(around, sent_at="2026-01-01")["sent_at"] == "2026-01-01"


values: st.SearchStrategy[Any] = st.sampled_from([None, 0, "", "x", [], {}, {"a": 1}, {"b": None}])
objects = st.none() | st.dictionaries(st.sampled_from("abcd"), values)


@settings(deadline=None)
@given(objects, objects, objects, objects)
def test_the_batchs_objects_lie_under_the_events_own(shared: Any, own: Any, shared_i: Any, own_i: Any) -> None:
    made = record(envelope(context=shared, integrations=shared_i), context=own, integrations=own_i)
    for merged, under, over in (
        (made["context"], shared or {}, own or {}),
        (made["integrations"], shared_i or {}, own_i or {}),
    ):
        assert set(merged) == set(under) | set(over)
        for key, value in merged.items():
            assert value == (over[key] if key in over else under[key])  # whole values, null included; never deeper


def test_merging_changes_nothing_that_was_given() -> None:
    shared, own = {"a": 1}, {"b": 2}
    record(envelope(context=shared), context=own)
    assert (shared, own) == ({"a": 1}, {"b": 2})
