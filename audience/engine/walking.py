"""An event joins trails; leaves are looked at when a condition of theirs may have changed, and only then.

What a leaf read when it was last looked at stands in the trail's `Walk`. Until its mark (a count or a sum of the trail)
or its due instant is reached, the conditions that held then hold now, though the reading itself has moved on.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from audience.engine.decimals import to_micros
from audience.engine.gauges import as_reading
from audience.engine.leaves import NEVER, Leaf, Series, Trail
from audience.engine.state import ProfileState, Walk
from audience.events.model import Event
from audience.rules.values import is_number, walk

MOST_NEW: Final = 16
"""How many events a trail notes before its series take them in."""

WIDEST: Final = 1 << 53
"""The largest magnitude, in millionths, of a number that is noted and of a sum that is kept running."""


@dataclass(slots=True)
class Step:
    """What one input has changed so far."""

    touched: set[str] = field(default_factory=set)
    """The segments that are to be asked again."""
    computed: dict[str, Any] = field(default_factory=dict)
    """The computed traits that were measured anew, with their values; None for missing."""


def note(state: ProfileState, trail: Trail, event: Event) -> Walk:
    """The event joins the trail."""
    walked = state.walk(trail.id)
    if walked is None:
        walked = Walk(trail.ways)
        set_marks(trail, walked)
        walked.series = dict.fromkeys(trail.plan.kept, b"")
    state.keep(trail.id, walked)
    walked.count += 1
    time_ms = event.time_ms
    if time_ms > walked.last_ms:
        walked.last_ms = time_ms
    walked.times.append(time_ms)
    walked.numbers.append(state.events)
    return walked


def look_around(state: ProfileState, trail: Trail, walked: Walk, event: Event, step: Step) -> None:
    """Look at the windows over the trail that the event may have changed."""
    plan = trail.plan
    for index, path in enumerate(trail.paths):
        found = walk(event.properties, path)
        micros = to_micros(found) if is_number(found) else None
        walked.values[index].append(micros if micros is not None and abs(micros) <= WIDEST else None)
        if micros:
            _sum_moved(state, trail, walked, index, micros, event, step)
    if walked.count >= walked.mark:
        for leaf in plan.counts:
            if walked.count >= _mark_of(leaf, walked):
                look(state, leaf, walked, step)
        walked.mark = _least_mark(plan.counts, walked)
    for series in plan.immediate:
        _take_in(state, series, walked, event)
    for leaf in plan.each_event:
        look(state, leaf, walked, step)


def _sum_moved(
    state: ProfileState, trail: Trail, walked: Walk, index: int, micros: int, event: Event, step: Step
) -> None:
    """A number has come on a path: look at the leaves whose mark the sum has reached."""
    leaves = trail.plan.sums[index]
    if abs(micros) > WIDEST:
        # Too large to be noted: the series take it in at once.
        for series in trail.plan.tailed:
            pane = series.pane_of(event.time_ms)
            if series.path == trail.paths[index] and pane >= series.first_pane(state.now_ms):
                up_to_date(state, series, walked).add(pane, micros)
        everything = True
    else:
        walked.sums[index] += micros
        # A sum that falls may change a condition before its mark and before its due instant.
        everything = micros < 0
    if walked.sums[index] > WIDEST:
        walked.sums[index] = 0
        everything = True
    total = walked.sums[index]
    if everything or total >= walked.marks[index]:
        for leaf in leaves:
            if everything or total >= _mark_of(leaf, walked):
                look(state, leaf, walked, step)
        walked.marks[index] = _least_mark(leaves, walked)


def set_marks(trail: Trail, walked: Walk) -> None:
    """The trail's marks from those of its leaves."""
    walked.mark = _least_mark(trail.plan.counts, walked)
    walked.marks = [_least_mark(leaves, walked) for leaves in trail.plan.sums]


def _least_mark(leaves: tuple[Leaf, ...], walked: Walk) -> int:
    return min([_mark_of(leaf, walked) for leaf in leaves], default=NEVER)


def _mark_of(leaf: Leaf, walked: Walk) -> int:
    """The count or sum at which a leaf is to be looked at."""
    if leaf.id in walked.readings:
        return walked.leaf_marks.get(leaf.id, NEVER)
    return leaf.first_mark


def _take_in(state: ProfileState, series: Series, walked: Walk, event: Event) -> None:
    pane = series.pane_of(event.time_ms)
    if pane >= series.first_pane(state.now_ms):
        found = None if series.path is None else walk(event.properties, series.path)
        walked.open(series).add(pane, found, (event.time_ms, event.message_id, event.source))
        walked.changed.add(series.id)


def up_to_date(state: ProfileState, series: Series, walked: Walk) -> Any:
    """What is kept for a series, with the trail's newest events, without what no window holds any more."""
    kept = walked.open(series)
    first_pane = series.first_pane(state.now_ms)
    if not series.immediate and kept.upto < walked.count:
        _catch_up(kept, series, walked, first_pane)
        walked.changed.add(series.id)
    kept.expire(first_pane)
    return kept


def _catch_up(kept: Any, series: Series, walked: Walk, first_pane: int) -> None:
    start = max(0, kept.upto - (walked.count - len(walked.times)))
    kept.upto = walked.count
    way = series.way
    if way is None:
        for time_ms in walked.times[start:]:
            pane = series.pane_of(time_ms)
            if pane >= first_pane:
                kept.add(pane)
    elif way in walked.paths:
        values = walked.values[walked.paths.index(way)]
        for time_ms, micros in zip(walked.times[start:], values[start:], strict=True):
            pane = series.pane_of(time_ms)
            if micros is not None and pane >= first_pane:
                kept.add(pane, micros)


def look(state: ProfileState, leaf: Leaf, walked: Walk, step: Step) -> None:
    """Read a leaf at the state's instant: what that changes, and when it is to be looked at again."""
    series = leaf.series
    kept = up_to_date(state, series, walked)
    first_pane = leaf.first_pane(state.now_ms)
    reading = kept.reading(first_pane)
    gauge = leaf.gauge
    mask = gauge.mask(reading)
    known = walked.readings.get(leaf.id)
    before = gauge.empty_mask if known is None else gauge.mask(known)
    if mask != before:
        step.touched |= leaf.conditions.segments_of(mask ^ before)
    walked.readings[leaf.id] = as_reading(reading) if series.family == "numbers" else reading
    due_ms = None
    if leaf.window is not None:
        due_ms = gauge.next_change_ms(kept, reading, leaf.window, first_pane)
    for value in leaf.computed:
        step.computed[value.key] = value.of(kept, reading, first_pane)
        due_ms = _sooner(due_ms, leaf.next_leaving_ms(kept, first_pane))
    set_due(state, series.trail, walked, leaf.id, due_ms)
    if not leaf.each_event:
        _set_mark(leaf, walked, kept, reading)


def _set_mark(leaf: Leaf, walked: Walk, kept: Any, reading: Any) -> None:
    headroom = leaf.gauge.headroom(reading)
    way = leaf.series.way
    if way is not None and kept.falls:
        # A pane with a negative sum raises the whole when it leaves, and the sooner to a bound the more came meanwhile.
        headroom = 1
    if headroom is None:
        walked.leaf_marks.pop(leaf.id, None)
    elif way is None:
        mark = walked.leaf_marks[leaf.id] = min(walked.count + headroom, NEVER)
        walked.mark = min(walked.mark, mark)
    else:
        index = walked.paths.index(way)
        mark = walked.leaf_marks[leaf.id] = min(walked.sums[index] + headroom, NEVER)
        walked.marks[index] = min(walked.marks[index], mark)


def _sooner(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def set_due(state: ProfileState, trail: Trail, walked: Walk, leaf_id: int, due_ms: int | None) -> None:
    """When time alone may next change a leaf of the trail."""
    dues = walked.dues
    if due_ms is None:
        if dues.pop(leaf_id, None) is None:
            return
    else:
        dues[leaf_id] = due_ms
    state.set_due(trail.id, min(dues.values(), default=None))


def settle(state: ProfileState, trail: Trail, walked: Walk) -> None:
    """Let every series take in the trail's newest events, and forget them. The times are the sequences' affair."""
    for series in trail.plan.tailed:
        up_to_date(state, series, walked)
    walked.times = []
    walked.numbers = []
    walked.values = [[] for _ in trail.paths]
