"""One request's events, from its bytes to records for the log: whose they are, which are valid, which are not.

Refuses a whole request for its credentials, its JSON or its size alone; an event that is not valid becomes a record of
`events.bad` with its reason and its bytes. No I/O: the clock and new ids are given, and the caller appends the records.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import msgspec

from audience.events.normalise import Envelope, NotValid, id_text, normalise, time_of
from audience.events.tracking_plans import Plan, Violation
from audience.ports.catalog import Source
from audience.ports.event_log import LogRecord
from audience.wire.topics import (
    EVENTS,
    EVENTS_BAD,
    BadEventRecord,
    BadEventRequest,
    EventRecord,
    PlanViolation,
    encode,
    key_of,
)
from services._kit.errors import ApiError
from services.ingest import shape
from services.ingest.batch import key_of_event, open_batch
from services.ingest.diagnose import NotJson, depth_within, holds_long_number, reason, too_deep
from services.ingest.limits import Limits

T = TypeVar("T")


def no_plan(_: Source) -> Plan | None:
    """No source has a tracking plan."""
    return None


Authenticate = Callable[[Any], Source]
"""The source of a request, given what its body has as `writeKey`. Raises ApiError."""


@dataclass(slots=True)
class Sorted:
    """A request's events as records, in the order in which they stood; how many are bad, by reason."""

    source: Source
    records: list[LogRecord] = field(default_factory=list)
    message_ids: list[str] = field(default_factory=list)
    bad: dict[str, int] = field(default_factory=dict)
    violations: list[tuple[str, Violation]] = field(default_factory=list)
    """What breaks the source's tracking plan, blocked or not: the event's name, or else its type."""

    @classmethod
    def all_bad(cls, source: Source, events: Sequence[bytes], fault: NotValid, envelope: Envelope) -> "Sorted":
        """Events of which each is bad for the same reason."""
        found = cls(source)
        for data in events:
            found.add_bad(data, fault, envelope)
        return found

    @property
    def accepted(self) -> int:
        return len(self.records) - sum(self.bad.values())

    @property
    def size_bytes(self) -> int:
        """Of all records. A batch's `context` is in each, so they may be many times as large as the body."""
        return sum([len(record.value or b"") for record in self.records])

    def judged(self, record: EventRecord, violation: Violation) -> EventRecord:
        """Note that an event breaks the plan; gives it as it is accepted. Raises NotValid where it is blocked."""
        self.violations.append((record.name or record.type, violation))
        if violation.mode == "block":
            raise NotValid(violation.code, violation.path, violation.message)
        if violation.mode == "allow":
            return record
        return msgspec.structs.replace(
            record, violation=PlanViolation(violation.code, violation.path, violation.message)
        )

    def add_bad(self, data: bytes, refused: NotValid, envelope: Envelope) -> None:
        """Add an event that is not valid."""
        self.bad[refused.code] = self.bad.get(refused.code, 0) + 1
        self.records.append(_bad_record(data, refused, envelope))


@dataclass(frozen=True, slots=True)
class Intake:
    """Sorts the events of requests. The clock is asked once a request: all its events were received together."""

    limits: Limits
    now_ms: Callable[[], int]
    new_message_id: Callable[[], str]
    plan_of: Callable[[Source], Plan | None] = no_plan

    def single(self, body: bytes, route_type: str, known: Source | None, by_key: Authenticate) -> Sorted:
        """The one event that the body is. Raises NotJson, and what `by_key` raises.

        `known` is whom the request's header names; without it the body is asked, by `by_key`.
        """
        body = _utf8(body).strip()
        if not body.startswith(b"{"):
            raise NotJson("an event is an object")
        source = known or by_key(key_of_event(body))
        return self._sorted(self._envelope(source, route_type), source, [body], holds_long_number(body))

    def batch(self, body: bytes, known: Source | None, by_key: Authenticate) -> Sorted:
        """The events of a batch. Raises NotJson, ApiError (413), and what `by_key` raises."""
        limit = self.limits.batch_events
        batch = open_batch(_utf8(body), limit)
        source = known or by_key(batch.write_key)
        events = batch.events()
        if len(events) > limit:
            raise ApiError(413, "too_many_events", f"a batch holds at most {limit} events")
        long_number = holds_long_number(body)
        envelope = self._envelope(source)
        try:
            sent_at = self._shared("sentAt", batch.sent_at, shape.decode_text, long_number)
            envelope = replace(
                envelope,
                context=self._shared("context", batch.context, shape.decode_object, long_number),
                integrations=self._shared("integrations", batch.integrations, shape.decode_object, long_number),
                sent_at=sent_at,
                sent_ms=_read_once(sent_at),
            )
        except NotValid as fault:
            # What the batch gives to each of its events is a part of each of them.
            return Sorted.all_bad(source, events, fault, envelope)
        return self._sorted(envelope, source, events, long_number)

    def _envelope(self, source: Source, route_type: str | None = None) -> Envelope:
        return Envelope(source.workspace, source.source, self.now_ms(), self.new_message_id, route_type)

    def _shared(self, name: str, data: bytes, decode: Callable[[bytes], T], long_number: bool) -> T:  # noqa: FBT001
        """What a batch gives to its events under this name. Raises NotValid."""
        try:
            return self._decoded(data, decode, long_number)
        except NotValid as fault:
            raise NotValid(fault.code, f"/{name}{fault.path}", f"in the batch's {name}: {fault.message}") from fault

    def _sorted(
        self,
        envelope: Envelope,
        source: Source,
        events: Sequence[bytes],
        long_number: bool,  # noqa: FBT001
    ) -> Sorted:
        found = Sorted(source)
        add, remember = found.records.append, found.message_ids.append
        plan, key_before = self.plan_of(source), key_of(source.workspace, "")
        for data in events:
            try:
                sent = self._decoded(data, shape.decode_event, long_number)
                record = normalise(sent, envelope, EventRecord)
                if plan is not None and (violation := plan.violation_of(record)) is not None:
                    record = found.judged(record, violation)
            except NotValid as refused:
                found.add_bad(data, refused, envelope)
            else:
                add(LogRecord(EVENTS, key_before + record.profile_id, encode(record)))
                remember(record.message_id)
        return found

    def _decoded(self, data: bytes, decode: Callable[[bytes], T], long_number: bool) -> T:  # noqa: FBT001
        """The value, if nothing in it can hurt those who read it after us. Raises NotValid, NotJson."""
        if len(data) > self.limits.event_bytes:
            raise NotValid("too_large", "", f"an event has at most {self.limits.event_bytes} bytes")
        try:
            value = decode(data)
        except shape.UNREADABLE as error:
            raise reason(data, error, self.limits.event_depth) or NotValid("unreadable", "", str(error)) from error
        limit = self.limits.event_depth
        if data.count(b"{") + data.count(b"[") > limit and not depth_within(data, limit):
            raise too_deep(limit)
        if long_number and (found := reason(data, None, limit)) is not None:
            raise found
        return value


def _read_once(sent_at: str | None) -> int | None:
    """The time of sending of a batch; None where it cannot be read, which those events then say that it counts for."""
    try:
        return None if sent_at is None else time_of(sent_at, "/sentAt")
    except NotValid:
        return None


def _bad_record(data: bytes, refused: NotValid, envelope: Envelope) -> LogRecord:
    record = BadEventRecord(
        workspace=envelope.workspace,
        source=envelope.source,
        code=refused.code,
        path=refused.path,
        message=refused.message,
        received_ms=envelope.received_ms,
        original=data,
        profile_id=_profile_of(data),
        request=BadEventRequest(
            type=envelope.route_type,
            context=envelope.context,
            integrations=envelope.integrations,
            sent_at=envelope.sent_at,
        ),
    )
    return LogRecord(EVENTS_BAD, key_of(envelope.workspace, envelope.source), encode(record))


def _profile_of(data: bytes) -> str | None:
    """Whose event it is, where that is plain to see."""
    try:
        ids = shape.decode_ids(data)
        texts = [id_text(each, "") for each in (ids.user_id, ids.anonymous_id) if each is not None]
    except (*shape.UNREADABLE, NotValid):
        return None
    return next(filter(None, texts), None)


def _utf8(body: bytes) -> bytes:
    """The body, if it is UTF-8; the decoder does not look at what it skips."""
    try:
        body.decode()
    except UnicodeDecodeError as fault:
        raise NotJson(str(fault)) from fault
    return body
