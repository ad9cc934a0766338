"""A bad event as it is sent again: the event as it came, what its request gave it, a repair, and its own time.

Pure. The time is the one that it would have had: it does not become younger by being sent again. Without a `messageId`
it gets one that names its place in the topic, so that two replays of it count once.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from audience.events.timestamps import corrected_ms, parse_ms
from audience.wire.topics import BadEventRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NotReplayable(Exception):
    """It cannot be sent again; the words say why."""


def repaired(bad: BadEventRecord, place: str, patch: Mapping[str, Any]) -> dict[str, Any]:
    """The event to send, in a batch. `patch` is a JSON merge patch (RFC 7396). Raises NotReplayable."""
    request = bad.request
    if request is None:
        raise NotReplayable("it did not come by HTTP")
    try:
        sent = msgspec.json.decode(bad.original)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotReplayable(f"its bytes are no JSON that can be repaired: {error}") from error
    if not isinstance(sent, dict):
        raise NotReplayable("it is no object")
    event: dict[str, Any] = dict(sent)
    if request.type is not None:
        event["type"] = request.type
    for name, shared in (("context", request.context), ("integrations", request.integrations)):
        own = event.get(name)
        if shared and (own is None or isinstance(own, dict)):
            event[name] = {**shared, **(own or {})}
    event = merged(event, patch)
    event.pop("writeKey", None)
    if event.get("messageId") is None:
        event["messageId"] = f"replay-{place}"
    _settle_time(event, request.sent_at, bad.received_ms)
    return event


def _settle_time(event: dict[str, Any], shared_sent_at: str | None, received_ms: int) -> None:
    """Put in one time that needs no more correction; leave what cannot be read, to be refused again."""
    incoming = event.get("originalTimestamp") or event.get("timestamp")
    sent_at = event.get("sentAt") or shared_sent_at
    try:
        time_ms = corrected_ms(
            None if incoming is None else parse_ms(incoming),
            None if sent_at is None else parse_ms(sent_at),
            received_ms,
        )
        text = (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds")
    except (ValueError, TypeError, OverflowError):
        return
    for name in ("originalTimestamp", "sentAt"):
        event.pop(name, None)
    event["timestamp"] = text


def merged(target: Any, patch: Any) -> Any:
    """`target` with a JSON merge patch applied: null removes, objects merge, all else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
