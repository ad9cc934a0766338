"""What the platform keeps of one profile between events. `audience.engine.evaluate` moves it.

Most of it stays packed: an event opens the trails that it joins and nothing else. What is opened is packed again only
where it changed. Packing itself is given by the host (`Codec`); the stored form is `audience.wire.state`'s.

It is bounded: docs/rules.md states by what.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from audience.engine.leaves import NEVER, Series

Origin = tuple[int, str, str]
"""The time, message id and source of the event that last set or deleted a trait."""


MOST_MOVES: Final = 32
"""How many segments a profile may enter and leave before all are packed again."""


@dataclass(frozen=True, slots=True)
class Codec:
    """Bytes of plain lists, dictionaries, strings, numbers and bytes, and back."""

    dumps: Callable[[Any], bytes]
    loads: Callable[[bytes], Any]


class Walk:
    """What a profile keeps of one trail: how far it went, its newest events, and what the leaves over it read.

    Most events change no condition of any rule. An event is therefore only noted, and the leaves are looked at once the
    count or a sum has reached the mark at which one of them changes.
    """

    __slots__ = (
        "changed",
        "count",
        "dues",
        "last_ms",
        "leaf_marks",
        "mark",
        "marks",
        "numbers",
        "opened",
        "paths",
        "readings",
        "series",
        "sums",
        "times",
        "values",
    )

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        """The properties whose numbers are noted with an event, as dotted text."""
        self.count = 0
        self.last_ms = 0
        """The latest time of an event."""
        self.mark = NEVER
        """The count at which a leaf is to be looked at."""
        self.times: list[int] = []
        self.numbers: list[int] = []
        """The newest events: their times, and the numbers that tell the profile's events apart."""
        self.values: list[list[int | None]] = [[] for _ in paths]
        """For each path the numbers of the newest events in millionths; None for what is no number."""
        self.sums = [0] * len(paths)
        self.marks = [NEVER] * len(paths)
        """For each path the sum of all numbers, and the sum at which a leaf is to be looked at."""
        self.series: dict[int, bytes] = {}
        """What is kept for each series, packed; under the trail's own id the times of events, for sequences."""
        self.readings: dict[int, Any] = {}
        """What each leaf read when it was last looked at. The conditions that held then hold now."""
        self.leaf_marks: dict[int, int] = {}
        """The count or sum at which a leaf is to be looked at again, where there is one."""
        self.dues: dict[int, int] = {}
        """When time alone may next change a leaf, in Unix ms."""
        self.opened: dict[int, Any] = {}
        """Those of `series` that were looked at."""
        self.changed: set[int] = set()
        """Those of `opened` that are newer than `series`."""

    def pack(self) -> list[Any]:
        for series_id in self.changed:
            state = self.opened[series_id]
            # One without events stays, as empty bytes: it tells a series that has seen them go from one that is new.
            self.series[series_id] = b"" if state.empty else state.pack()
        self.changed.clear()
        newest = [self.times, self.numbers, self.values, self.sums, self.marks]
        return [self.paths, self.count, self.last_ms, self.mark, *newest, self.series, *self._leaves()]

    def _leaves(self) -> list[Any]:
        return [self.readings, self.leaf_marks, self.dues]

    @classmethod
    def unpack(cls, kept: list[Any]) -> "Walk":
        walk = cls.__new__(cls)
        walk.paths, walk.count, walk.last_ms, walk.mark, walk.times, walk.numbers, walk.values, *kept = kept
        walk.sums, walk.marks, walk.series, walk.readings, walk.leaf_marks, walk.dues = kept
        walk.opened = {}
        walk.changed = set()
        return walk

    def open(self, series: Series) -> Any:
        """What is kept for a series."""
        state = self.opened.get(series.id)
        if state is None:
            data = self.series.get(series.id)
            state = self.opened[series.id] = series.unpack(data) if data else series.new_state()
        return state


@dataclass(slots=True)
class Traits:
    """A profile's traits, and which event set or deleted each."""

    values: dict[str, Any]
    origins: dict[str, Origin]
    """For every trait that was ever set, deleted ones too, so that an older event cannot bring one back."""


class ProfileState:
    """One profile. Mutable, and used by one thread at a time."""

    __slots__ = (
        "_changed_trails",
        "_codec",
        "_open_trails",
        "_packed_segments",
        "_packed_traits",
        "_segments",
        "_traits",
        "_traits_changed",
        "armed_ms",
        "computed",
        "created_ms",
        "dues",
        "events",
        "ids",
        "latest_ms",
        "lists",
        "moves",
        "now_ms",
        "profile_id",
        "revision",
        "trails",
        "updated_ms",
        "version",
    )

    def __init__(
        self,
        profile_id: str,
        codec: Codec,
        *,
        trails: dict[int, bytes] | None = None,
        segments: bytes = b"",
        moves: dict[str, int | None] | None = None,
        traits: bytes = b"",
    ) -> None:
        self.profile_id = profile_id
        self.created_ms = 0
        """When the first event was accepted; 0 while there was none, and then the profile is in no segment."""
        self.updated_ms = 0
        self.now_ms = 0
        """The latest instant that the profile has been brought to; it never goes back."""
        self.latest_ms = 0
        """The latest time of an event that joined a trail."""
        self.events = 0
        """How many events have joined trails: each has its number."""
        self.version = 0
        """Of what others were last told of the profile; 0 while they were told nothing."""
        self.armed_ms = 0
        """The instant of the profile's one pending timer; 0 for none. The engine leaves it to its host."""
        self.revision = -1
        """The catalog's revision that the profile was last evaluated for."""
        self.computed: dict[str, Any] = {}
        self.lists: set[str] = set()
        self.ids: list[tuple[int, bytes]] = []
        """Message ids that were accepted, see `audience.engine.duplicates`."""
        self.dues: dict[int | str, int] = {}
        """When time alone may next change something: by trail, and by trait for time-driven tests."""
        self.trails: dict[int, bytes] = {} if trails is None else trails
        """For each trail that the profile has been on, a `Walk`, packed."""
        self._open_trails: dict[int, Walk] = {}
        self._changed_trails: set[int] = set()
        self._packed_segments = segments
        self._segments: dict[str, int] | None = None
        self.moves: dict[str, int | None] = {} if moves is None else moves
        """The segments entered (since when) and left (None) since they were last packed."""
        self._packed_traits = traits
        self._traits: Traits | None = None
        self._traits_changed = False
        self._codec = codec

    def walk(self, trail_id: int) -> Walk | None:
        """What is kept of a trail; None where the profile was never on it."""
        walk = self._open_trails.get(trail_id)
        if walk is None and (data := self.trails.get(trail_id)) is not None:
            walk = self._open_trails[trail_id] = Walk.unpack(self._codec.loads(data))
        return walk

    def keep(self, trail_id: int, walk: Walk) -> None:
        """Note that a walk has changed, or is new. Its dues become the profile's."""
        self._open_trails[trail_id] = walk
        self._changed_trails.add(trail_id)

    def set_due(self, key: int | str, due_ms: int | None) -> None:
        if due_ms is None:
            self.dues.pop(key, None)
        else:
            self.dues[key] = due_ms

    def leave_trail(self, trail_id: int) -> None:
        """Forget a trail that no rule asks for any more."""
        self.trails.pop(trail_id, None)
        self._open_trails.pop(trail_id, None)
        self._changed_trails.discard(trail_id)
        self.dues.pop(trail_id, None)

    def trail_ids(self) -> set[int]:
        return self.trails.keys() | self._open_trails.keys()

    @property
    def segments(self) -> dict[str, int]:
        """The segments that the profile is in, and since when; changed by `enter` and `leave` alone."""
        if self._segments is None:
            by_instant = self._codec.loads(self._packed_segments) if self._packed_segments else {}
            self._segments = {key: since_ms for since_ms, keys in by_instant.items() for key in keys}
            for key, since_ms in self.moves.items():
                _move(self._segments, key, since_ms)
        return self._segments

    def enter(self, *keys: str) -> None:
        """The profile is in these segments from now on."""
        self.moves.update(dict.fromkeys(keys, self.now_ms))
        self.segments.update(dict.fromkeys(keys, self.now_ms))

    def leave(self, key: str) -> None:
        """The profile is in this segment no longer."""
        self.moves[key] = None
        _move(self.segments, key, None)

    @property
    def traits(self) -> Traits:
        """The profile's traits; changed by `assign` alone."""
        if self._traits is None:
            if self._packed_traits:
                values, origins, places = self._codec.loads(self._packed_traits)
                named = {key: tuple(origins[place]) for key, place in places.items()}
                self._traits = Traits(values, named)
            else:
                self._traits = Traits({}, {})
        return self._traits

    def assign(self, key: str, value: Any, origin: Origin) -> None:
        """Set a trait, or delete it by None."""
        traits = self.traits
        self._traits_changed = True
        traits.origins[key] = origin
        if value is None:
            traits.values.pop(key, None)
        else:
            traits.values[key] = value

    def pack(self) -> tuple[dict[int, bytes], bytes, bytes]:
        """Trails, segments and traits, each packed again where it was opened and may have changed."""
        dumps = self._codec.dumps
        for trail_id in self._changed_trails:
            self.trails[trail_id] = dumps(self._open_trails[trail_id].pack())
        self._changed_trails.clear()
        if len(self.moves) > MOST_MOVES:
            by_instant: dict[int, list[str]] = {}
            for key, since_ms in self.segments.items():
                by_instant.setdefault(since_ms, []).append(key)
            self._packed_segments = dumps(by_instant)
            self.moves = {}
        if self._traits_changed:
            traits = self.traits
            places: dict[Origin, int] = {}
            named = {key: places.setdefault(origin, len(places)) for key, origin in traits.origins.items()}
            self._packed_traits = dumps([traits.values, list(places), named])
            self._traits_changed = False
        return self.trails, self._packed_segments, self._packed_traits

    @property
    def due_ms(self) -> int | None:
        """When `on_time` next has something to do; None where never."""
        return min(self.dues.values(), default=None)


def _move(segments: dict[str, int], key: str, since_ms: int | None) -> None:
    if since_ms is None:
        segments.pop(key, None)
    else:
        segments[key] = since_ms


def _nothing_packed(_: Any) -> Any:
    raise AssertionError("a profile without events has nothing packed")


def nobody() -> ProfileState:
    """A profile without events and traits, to ask rules about."""
    return ProfileState("", Codec(_nothing_packed, _nothing_packed))
