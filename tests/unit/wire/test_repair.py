"""Bad events as they are sent again: what they had from their request, the repair, their own time."""

import json
from typing import Any

import pytest

from audience.wire.repair import NotReplayable, merged, repaired
from audience.wire.topics import BadEventRecord, BadEventRequest

RECEIVED_MS = 1_769_860_800_000  # 2026-01-31T12:00:00Z


def bad(original: Any, request: BadEventRequest | None = BadEventRequest()) -> BadEventRecord:  # noqa: B008
    return BadEventRecord(
        workspace="demo",
        source="shop",
        code="missing_name",
        path="",
        message="",
        received_ms=RECEIVED_MS,
        original=original if isinstance(original, bytes) else json.dumps(original).encode(),
        request=request,
    )


def test_what_the_request_gave_comes_along() -> None:
    request = BadEventRequest(type="track", context={"a": 1, "b": 2}, integrations={"x": True})
    event = repaired(bad({"type": "?", "userId": "u", "context": {"b": 3}, "writeKey": "k"}, request), "0-7", {})
    assert event == {
        "type": "track",
        "userId": "u",
        "context": {"a": 1, "b": 3},
        "integrations": {"x": True},
        "messageId": "replay-0-7",
        "timestamp": "2026-01-31T12:00:00.000+00:00",
    }


@pytest.mark.parametrize(
    ("times", "sent_at", "time"),
    [
        ({}, None, "12:00:00.000"),
        ({"timestamp": "2026-01-31T11:00:00Z"}, None, "11:00:00.000"),
        ({"timestamp": "2026-01-31T13:00:00Z"}, None, "12:00:00.000"),  # never later than it was received
        ({"timestamp": "2026-01-31T09:00:00Z"}, "2026-01-31T10:00:00Z", "11:00:00.000"),
        ({"originalTimestamp": "2026-01-31T09:00:00Z", "sentAt": "2026-01-31T09:00:01Z"}, "2000-01-01", "11:59:59.000"),
    ],
)
def test_its_time_is_the_one_that_it_would_have_had(times: dict[str, str], sent_at: str | None, time: str) -> None:
    event = repaired(bad({"messageId": "m", **times}, BadEventRequest(sent_at=sent_at)), "0-1", {})
    assert event == {"messageId": "m", "timestamp": f"2026-01-31T{time}+00:00"}


def test_a_time_that_cannot_be_read_stays_to_be_refused_or_patched() -> None:
    unread = bad({"messageId": "m", "timestamp": "yesterday"})
    assert repaired(unread, "0-1", {})["timestamp"] == "yesterday"
    patched = repaired(unread, "0-1", {"timestamp": None})
    assert patched["timestamp"] == "2026-01-31T12:00:00.000+00:00"


@pytest.mark.parametrize(
    ("original", "request_", "why"),
    [
        (b"{", BadEventRequest(), "no JSON"),
        (b'{"a": NaN}', BadEventRequest(), "no JSON"),
        (b"\xff", BadEventRequest(), "no JSON"),
        (b"[]", BadEventRequest(), "no object"),
        (b"{}", None, "not come by HTTP"),
    ],
)
def test_what_cannot_be_sent_again(original: bytes, request_: BadEventRequest | None, why: str) -> None:
    with pytest.raises(NotReplayable, match=why):
        repaired(bad(original, request_), "0-1", {})


@pytest.mark.parametrize(
    ("target", "patch", "result"),  # from RFC 7396, appendix A
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ("foo", {"a": 1}, {"a": 1}),
    ],
)
def test_merge_patches(target: Any, patch: Any, result: Any) -> None:
    assert merged(target, patch) == result
