"""The world that a rule is decided in: the events, and what a rule may refer to besides them.

Times are whole milliseconds of Unix time. `Event.time_ms` is the event time, already corrected
and clipped by whoever accepted the event; the oracle takes it as it stands.
It refuses unknown keys in the JSON forms, so that a misspelt one cannot pass unseen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""None, bool, int, float, str, or a list or dict of these."""

JsonObject: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One accepted event, or a copy of one."""

    time_ms: int
    received_ms: int
    message_id: str
    type: str = "track"
    name: str = ""
    source: str = "s1"
    """The write key it came in by."""
    user_id: str = ""
    anonymous_id: str = ""
    properties: JsonObject = field(default_factory=dict)
    context: JsonObject = field(default_factory=dict)
    traits: JsonObject = field(default_factory=dict)

    @property
    def profile_id(self) -> str:
        """`userId` if not empty, else `anonymousId`."""
        return self.user_id or self.anonymous_id


@dataclass(frozen=True, slots=True)
class World:
    """All that decides a rule for one profile, but the time."""

    profile_id: str
    events: Sequence[Event]
    """In order of arrival. Events of other profiles may be among them, and change nothing."""
    segments: Mapping[str, JsonObject | bool] = field(default_factory=dict)
    """By key: the rule of a live segment, or the frozen membership of a paused one."""
    lists: frozenset[str] = frozenset()
    """The keys of the lists that the profile id is on."""
    computed_traits: Mapping[str, JsonObject] = field(default_factory=dict)
    """Definitions by key."""


_EVENT_KEYS = {each.name for each in fields(Event)}
_WORLD_KEYS = {each.name for each in fields(World)}


def event_from_json(data: JsonObject, profile_id: str) -> Event:
    """An event of `profile_id`, unless `data` has a `user_id` or an `anonymous_id` of its own."""
    _refuse_unknown(data, _EVENT_KEYS)
    if "user_id" not in data and "anonymous_id" not in data:
        data = {**data, "user_id": profile_id}
    return Event(**data)


def event_to_json(event: Event) -> dict[str, Json]:
    """What `event_from_json` reads."""
    return asdict(event)


def world_from_json(data: JsonObject) -> World:
    """`{"profile_id", "events": […], "segments"?, "lists"?, "computed_traits"?: [definition, …]}`."""
    _refuse_unknown(data, _WORLD_KEYS)
    profile_id = data["profile_id"]
    return World(
        profile_id=profile_id,
        events=tuple(event_from_json(event, profile_id) for event in data["events"]),
        segments=dict(data.get("segments", {})),
        lists=frozenset(data.get("lists", ())),
        computed_traits={each["key"]: each for each in data.get("computed_traits", ())},
    )


def world_to_json(world: World) -> dict[str, Json]:
    """What `world_from_json` reads."""
    return {
        "profile_id": world.profile_id,
        "events": [event_to_json(event) for event in world.events],
        "segments": dict(world.segments),
        "lists": sorted(world.lists),
        "computed_traits": list(world.computed_traits.values()),
    }


def _refuse_unknown(data: JsonObject, known: set[str]) -> None:
    unknown = sorted(set(data) - known)
    if unknown:
        raise ValueError(f"unknown keys {unknown}; known are {sorted(known)}")
