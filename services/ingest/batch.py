"""The body of a batch in its parts: whose it is, what it gives to its events, and each event's own bytes.

One pass of the decoder, as a rule. What that stops at is cut apart by `salvage`; so is a body of so many values that a
list of them could take more memory than all the rest. Refuses what is no JSON object with a list `batch`.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from services.ingest import salvage, shape
from services.ingest.diagnose import NotJson

_NULL: Final = b"null"
_DENSE: Final = 200_000
"""Commas, beyond which a body may be a list of very many elements."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch's parts. The JSON of `context`, `integrations` and `sentAt` is unchecked."""

    write_key: Any
    context: bytes
    integrations: bytes
    sent_at: bytes
    _events: list[bytes] | None

    def events(self) -> list[bytes]:
        """Each event's own bytes. Raises NotJson where the batch is no list; the write key is known even then."""
        if self._events is None:
            raise NotJson("an object with a list `batch` is expected")
        return self._events


def open_batch(body: bytes, at_most: int) -> Batch:
    """The parts of a body, which is UTF-8; of more than `at_most` events perhaps not all. Raises NotJson."""
    if len(body) > _DENSE and body.count(b",") > _DENSE:
        return _cut(body, at_most)
    try:
        sent = shape.decode_batch(body)
    except shape.UNREADABLE:
        return _cut(body, at_most)
    return Batch(
        sent.write_key,
        bytes(sent.context),
        bytes(sent.integrations),
        bytes(sent.sent_at),
        [bytes(raw) for raw in sent.batch],
    )


def key_of_event(body: bytes) -> Any:
    """The `writeKey` in the body of a single call, whatever it is. Raises NotJson."""
    try:
        return shape.decode_event(body).write_key
    except shape.UNREADABLE:
        return _value_of(salvage.cut(body).members.get("writeKey", _NULL))


def _cut(body: bytes, at_most: int) -> Batch:
    pieces = salvage.cut(body, "batch", at_most)
    write_key, context, integrations, sent_at = (
        pieces.members.get(name, _NULL) for name in ("writeKey", "context", "integrations", "sentAt")
    )
    return Batch(_value_of(write_key), context, integrations, sent_at, pieces.elements)


def _value_of(data: bytes) -> Any:
    """The value, or None where the decoder stops at it; then it is no write key either."""
    try:
        return msgspec.json.decode(data)
    except shape.UNREADABLE:
        return None
