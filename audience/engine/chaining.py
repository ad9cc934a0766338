"""Sequences over the trails of a profile: which an event may complete or end, and whether they hold.

What is known of a sequence stands in the walk of its last step's trail, its home: without such an event it cannot hold.
"""

from audience.engine.leaves import HAPPENED, SequenceLeaf, Trail
from audience.engine.sequences import Times, held, occurrences
from audience.engine.state import ProfileState, Walk
from audience.engine.walking import Step, set_due
from audience.events.model import Event


def look_at_sequences(state: ProfileState, trail: Trail, event: Event, step: Step, *, late: bool) -> None:
    """Decide the sequences that an event of the trail may have changed; one that came `late` may change any."""
    if late:
        for leaf in trail.sequences.values():
            look_at_sequence(state, leaf, step)
        return
    for leaf in trail.plan.absent_of:
        home = state.walk(leaf.home.id)
        if home is not None and (leaf.id in home.dues or leaf.id in home.readings):
            look_at_sequence(state, leaf, step)
    last_of = trail.plan.last_of
    if not last_of:
        return
    home = state.walk(trail.id)
    for before in last_of.keys() & {*state.trail_ids(), None}:
        walked = None if before is None else state.walk(before)
        for leaf in last_of[before]:
            # One that holds already can only hold for longer; its due instant may come early, never late.
            if leaf.shape.absent_gap_ms is None and home is not None and leaf.id in home.readings:
                continue
            gap_ms = leaf.shape.gaps_ms[leaf.last]
            if walked is None or gap_ms is None or walked.last_ms >= event.time_ms - gap_ms:
                look_at_sequence(state, leaf, step)


def look_at_sequence(state: ProfileState, leaf: SequenceLeaf, step: Step) -> None:
    """Decide a sequence at the state's instant: whether that changed, and when time alone next does."""
    home = state.walk(leaf.home.id)
    if home is None:
        return
    shape = leaf.shape
    from_ms = shape.window.first_pane(state.now_ms) * shape.window.step_ms
    events = occurrences([times_of(state, trail) for trail in leaf.trails], from_ms)
    reading, due_ms = held(shape, events, state.now_ms)
    if reading != (leaf.id in home.readings):
        step.touched |= leaf.conditions.segments_of(leaf.conditions.bit_of(HAPPENED))
        if reading:
            home.readings[leaf.id] = True
        else:
            del home.readings[leaf.id]
    state.keep(leaf.home.id, home)
    set_due(state, leaf.home, home, leaf.id, due_ms)


def times_of(state: ProfileState, trail: Trail) -> Times | None:
    """The times of the trail's events that some sequence may still need; None where there are none."""
    walked = state.walk(trail.id)
    if walked is None:
        return None
    kept: Times | None = walked.opened.get(trail.id)
    if kept is None:
        data = walked.series.get(trail.id)
        kept = walked.opened[trail.id] = Times.unpack(data) if data else Times()
    if kept.upto < walked.count:
        _catch_up(kept, walked)
        walked.changed.add(trail.id)
        state.keep(trail.id, walked)
    kept.forget_before(state.now_ms - trail.plan.times_ms)
    return kept


def _catch_up(kept: Times, walked: Walk) -> None:
    start = max(0, kept.upto - (walked.count - len(walked.times)))
    for time_ms, number in zip(walked.times[start:], walked.numbers[start:], strict=True):
        kept.add(time_ms, number)
    kept.upto = walked.count
