"""An event as an application sends it, decoded in one pass into typed values; null and missing are the same."""

from typing import Any

from msgspec import Struct

from audience.events import normalise


class SentEvent(Struct, rename="camel", frozen=True, gc=False):
    """An `audience.events.normalise.SentEvent`."""

    type: str | None = None
    event: str | None = None
    name: str | None = None
    message_id: int | float | str | None = None
    user_id: int | float | str | None = None
    anonymous_id: int | float | str | None = None
    previous_id: int | float | str | None = None
    group_id: int | float | str | None = None
    timestamp: str | None = None
    original_timestamp: str | None = None
    sent_at: str | None = None
    properties: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    integrations: dict[str, Any] | None = None


_: type[normalise.SentEvent] = SentEvent
