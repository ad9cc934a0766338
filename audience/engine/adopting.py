"""Brings a profile to the rules as they are now, after segments or computed traits came, changed or went.

What stays of the leaves keeps its state. A new leaf begins with nothing: history is filled in by a backfill.
"""

from audience.engine.chaining import look_at_sequence, times_of
from audience.engine.leaves import Trail
from audience.engine.program import Program
from audience.engine.state import ProfileState, Walk
from audience.engine.walking import Step, look, set_marks, up_to_date


def adopt(program: Program, state: ProfileState, step: Step) -> None:
    """Forget what no rule needs any more, and look at every leaf over a trail that has changed."""
    changed: list[tuple[Trail, Walk]] = []
    for trail_id in state.trail_ids():
        trail = program.trails.get(trail_id)
        if trail is None:
            state.leave_trail(trail_id)
        elif trail.revision > state.revision and (walked := state.walk(trail_id)) is not None:
            changed.append((trail, _arranged(state, trail, walked)))
    for trail, walked in changed:
        for leaf in trail.leaves.values():
            look(state, leaf, walked, step)
        for sequence in trail.sequences.values():
            look_at_sequence(state, sequence, step)
        set_marks(trail, walked)
    for key in [key for key in state.computed if key not in program.computed]:
        step.computed[key] = None
    for name in [name for name in state.dues if isinstance(name, str) and name not in program.traits.time_driven]:
        del state.dues[name]


def _arranged(state: ProfileState, trail: Trail, walked: Walk) -> Walk:
    """A walk for the trail as it is now: what stays takes in the newest events, what is new begins with nothing."""
    for series in trail.plan.tailed:
        if series.id in walked.series:
            up_to_date(state, series, walked)
    if trail.id in walked.series:
        times_of(state, trail)
    arranged = Walk(trail.ways)
    arranged.count = walked.count
    arranged.last_ms = walked.last_ms
    arranged.opened = {key: kept for key, kept in walked.opened.items() if key in trail.plan.kept}
    arranged.changed = set(arranged.opened)
    arranged.series = {key: walked.series.get(key, b"") for key in trail.plan.kept}
    needed = trail.leaves.keys() | trail.sequences.keys()
    arranged.readings = {key: reading for key, reading in walked.readings.items() if key in needed}
    arranged.dues = {key: due_ms for key, due_ms in walked.dues.items() if key in needed}
    state.keep(trail.id, arranged)
    state.set_due(trail.id, min(arranged.dues.values(), default=None))
    return arranged
