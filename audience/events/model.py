"""What the platform calls an event. Refuses nothing: `audience.events.normalise` decides what is accepted."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypeAlias

EventType: TypeAlias = Literal["identify", "track", "page", "screen", "group", "alias"]
EVENT_TYPES: frozenset[str] = frozenset(("identify", "track", "page", "screen", "group", "alias"))

JsonObject: TypeAlias = Mapping[str, Any]


class Event(Protocol):
    """One accepted event of one profile, as the engine reads it.

    A protocol, so that the struct decoded from Kafka can be evaluated without a copy. Times are Unix milliseconds
    in UTC, and ``time_ms <= received_ms`` always holds (segment-protocol, rule 9).
    """

    @property
    def workspace(self) -> str: ...
    @property
    def profile_id(self) -> str:
        """`userId` if not empty, else `anonymousId`."""

    @property
    def source(self) -> str:
        """The id of the source whose write key the event came with; `message_id` is unique within it."""

    @property
    def message_id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def name(self) -> str:
        """The track event's `event`, or the page's or screen's `name`; empty where there is none."""

    @property
    def time_ms(self) -> int: ...
    @property
    def received_ms(self) -> int: ...
    @property
    def properties(self) -> JsonObject: ...
    @property
    def context(self) -> JsonObject: ...
    @property
    def traits(self) -> JsonObject: ...
