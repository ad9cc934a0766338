"""The ids that an event came with: its user, browser and group, an address, and those of other systems.

Others come in ``context.externalIds`` as Segment's libraries send them: ``[{"id", "type", "collection", "encoding"}]``.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

LONGEST_TYPE: Final = 100


class Identified(Protocol):
    """An event, as far as its ids go."""

    @property
    def type(self) -> str: ...
    @property
    def user_id(self) -> str | None: ...
    @property
    def anonymous_id(self) -> str | None: ...
    @property
    def group_id(self) -> str | None: ...
    @property
    def traits(self) -> Any: ...
    @property
    def context(self) -> Any: ...


class ExternalId(NamedTuple):
    """An id and its type."""

    type: str
    id: str
    collection: str = "users"
    encoding: str = "none"


def ids_of(event: Identified) -> Iterator[ExternalId]:
    """Each id that the event carries; what is not of an id's shape is passed over."""
    for kind, value in (("user_id", event.user_id), ("anonymous_id", event.anonymous_id), ("group_id", event.group_id)):
        if value:
            yield ExternalId(kind, value)
    context = event.context if isinstance(event.context, Mapping) else {}
    of_person = event.traits if event.type == "identify" else None  # those of a group call are the group's
    for traits in (of_person, context.get("traits")):
        email = traits.get("email") if isinstance(traits, Mapping) else None
        if isinstance(email, str) and email and "\0" not in email:
            yield ExternalId("email", email)
            break
    others = context.get("externalIds")
    for other in others if isinstance(others, list) else ():
        if (found := _external_id(other)) is not None:
            yield found


def _external_id(other: Any) -> ExternalId | None:
    if not isinstance(other, Mapping):
        return None
    kind, value = other.get("type"), other.get("id")
    if not isinstance(kind, str) or not isinstance(value, str) or not kind or not value:
        return None
    if len(kind) > LONGEST_TYPE or "\0" in kind or ":" in kind:
        return None
    return ExternalId(kind, value, _text(other.get("collection"), "users"), _text(other.get("encoding"), "none"))


def _text(value: Any, default: str) -> str:
    return value if isinstance(value, str) and value else default
