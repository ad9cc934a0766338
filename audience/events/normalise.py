"""One event as an SDK sends it, made into the event that the platform keeps (segment-protocol, rules 4, 7, 9, 11).

Pure: decoded values come in, the caller's record goes out. Refuses, with a stable code and a JSON pointer, every event
that is not valid; it repairs nothing, and drops no part of what it accepts. What only the bytes show (size, depth,
numbers that no double holds, values of a wrong type) is for those who decode them.

It runs once for each event that comes in: checks stand in line where a call would cost as much as the check.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol, TypeVar

from audience.events.model import EVENT_TYPES
from audience.events.timestamps import FIRST_MS, corrected_ms, parse_ms

MESSAGE_ID_CHARACTERS: Final = 100
ID_BYTES: Final = 1024
"""Of a user, anonymous, group or previous id in UTF-8. Ids are keys, and an index of PostgreSQL holds 2,700 bytes."""

_SURELY_SHORT: Final = ID_BYTES // 4  # so many characters fit, whatever they are

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class NotValid(Exception):
    """The event cannot be accepted: a stable `code`, a JSON pointer `path` into the event, words."""

    def __init__(self, code: str, path: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.path = path
        self.message = message


class SentEvent(Protocol):
    """An event as it was sent, its values of the types that the protocol knows. What was missing or null is None."""

    @property
    def type(self) -> str | None: ...
    @property
    def event(self) -> str | None: ...
    @property
    def name(self) -> str | None: ...
    @property
    def message_id(self) -> float | str | None: ...
    @property
    def user_id(self) -> float | str | None: ...
    @property
    def anonymous_id(self) -> float | str | None: ...
    @property
    def previous_id(self) -> float | str | None: ...
    @property
    def group_id(self) -> float | str | None: ...
    @property
    def timestamp(self) -> str | None: ...
    @property
    def original_timestamp(self) -> str | None: ...
    @property
    def sent_at(self) -> str | None: ...
    @property
    def properties(self) -> dict[str, Any] | None: ...
    @property
    def context(self) -> dict[str, Any] | None: ...
    @property
    def traits(self) -> dict[str, Any] | None: ...
    @property
    def integrations(self) -> dict[str, Any] | None: ...


class EventMaker(Protocol[T_co]):
    """Makes the record of an event; `audience.wire.topics.EventRecord` is one. A value in between would cost a copy."""

    def __call__(
        self,
        *,
        workspace: str,
        source: str,
        profile_id: str,
        message_id: str,
        type: str,  # noqa: A002  the record's field
        time_ms: int,
        received_ms: int,
        name: str,
        user_id: str | None,
        anonymous_id: str | None,
        previous_id: str | None,
        group_id: str | None,
        properties: dict[str, Any],
        context: dict[str, Any],
        traits: dict[str, Any],
        integrations: dict[str, Any],
        original_timestamp: str | None,
        sent_at: str | None,
    ) -> T_co: ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is said once for all events of a request: by whom it came, when, and what a batch gives to each of them."""

    workspace: str
    source: str
    received_ms: int
    new_message_id: Callable[[], str]
    route_type: str | None = None
    """The type that a single call's route gives; it counts over the event's own."""
    context: dict[str, Any] | None = None
    integrations: dict[str, Any] | None = None
    sent_at: str | None = None
    sent_ms: int | None = None
    """`sent_at` as `time_of` reads it; None where it is missing, or cannot be read."""


def normalise(sent: SentEvent, envelope: Envelope, make: EventMaker[T]) -> T:
    """The record of one event. Raises NotValid."""
    type_ = envelope.route_type or _type(sent.type)
    user_id, anonymous_id, message_id = sent.user_id, sent.anonymous_id, sent.message_id
    if user_id is not None:
        user_id = id_text(user_id, "/userId")
    if anonymous_id is not None:
        anonymous_id = id_text(anonymous_id, "/anonymousId")
    profile_id = user_id or anonymous_id
    if profile_id is None:
        raise NotValid("missing_id", "", "an event needs a userId or an anonymousId that is not empty")
    if message_id is not None:
        message_id = _message_id(message_id)
    sent_at = sent.sent_at
    if sent_at is None:
        sent_at, sent_ms = envelope.sent_at, envelope.sent_ms
    else:
        sent_ms = time_of(sent_at, "/sentAt")
    context, integrations = sent.context or {}, sent.integrations or {}
    return make(
        workspace=envelope.workspace,
        source=envelope.source,
        profile_id=profile_id,
        message_id=message_id or envelope.new_message_id(),
        type=type_,
        time_ms=_time_ms(sent, sent_at, sent_ms, envelope.received_ms),
        received_ms=envelope.received_ms,
        name=_track_name(sent.event) if type_ == "track" else (sent.name or "") if type_ in _NAMED else "",
        user_id=user_id,
        anonymous_id=anonymous_id,
        previous_id=None if sent.previous_id is None else id_text(sent.previous_id, "/previousId"),
        group_id=None if sent.group_id is None else id_text(sent.group_id, "/groupId"),
        properties=sent.properties or {},
        context={**envelope.context, **context} if envelope.context else context,
        traits=sent.traits or {},
        integrations={**envelope.integrations, **integrations} if envelope.integrations else integrations,
        original_timestamp=sent.timestamp if sent.original_timestamp is None else sent.original_timestamp,
        sent_at=sent_at,
    )


_NAMED: Final = ("page", "screen")


def _type(type_: str | None) -> str:
    if type_ in EVENT_TYPES:
        return type_
    path = "" if type_ is None else "/type"
    raise NotValid("unknown_type", path, f"the type of an event is one of {', '.join(sorted(EVENT_TYPES))}")


def _track_name(name: str | None) -> str:
    if name:
        return name
    raise NotValid("missing_name", "" if name is None else "/event", "a track event needs a name")


def id_text(value: float | str, path: str) -> str | None:
    """An id as text; None where it is empty. White space is part of an id, and counts. Raises NotValid."""
    text = value if isinstance(value, str) else decimal_text(value)
    if len(text) > _SURELY_SHORT and len(text.encode()) > ID_BYTES:
        raise NotValid("id_too_long", path, f"an id has at most {ID_BYTES} bytes in UTF-8")
    if "\0" in text:
        # Ids are keys everywhere, and PostgreSQL's text has no NUL. In all other strings it is kept.
        raise NotValid("bad_id", path, "an id does not hold the character U+0000")
    return text or None


def _message_id(value: float | str) -> str | None:
    text = id_text(value, "/messageId")
    if text is not None and len(text) > MESSAGE_ID_CHARACTERS:
        raise NotValid(
            "message_id_too_long", "/messageId", f"a messageId has at most {MESSAGE_ID_CHARACTERS} characters"
        )
    return text


def decimal_text(number: float) -> str:
    """A finite number in plain decimal digits: 42 for 42 and 42.0, 0.1 for 0.1, and never an exponent."""
    if isinstance(number, int):
        return str(number)
    text = format(Decimal(repr(number)), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _time_ms(sent: SentEvent, sent_at: str | None, sent_ms: int | None, received_ms: int) -> int:
    """The corrected time. All three times must be readable, also those that do not count."""
    incoming_ms = None if sent.timestamp is None else time_of(sent.timestamp, "/timestamp")
    if sent.original_timestamp is not None:
        incoming_ms = time_of(sent.original_timestamp, "/originalTimestamp")
    if sent_ms is None and sent_at is not None:
        sent_ms = time_of(sent_at, "/sentAt")
    time_ms = corrected_ms(incoming_ms, sent_ms, received_ms)
    if time_ms < FIRST_MS:
        raise NotValid("bad_timestamp", "/sentAt", "the corrected time lies before the year 1")
    return time_ms


def time_of(text: str, path: str) -> int:
    """The Unix milliseconds of a time. Raises NotValid, with `path` as its place."""
    try:
        return parse_ms(text)
    except ValueError as error:
        raise NotValid("bad_timestamp", path, f"{path[1:]} is no ISO 8601 date or date-time") from error
