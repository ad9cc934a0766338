"""What the operator does with one input, without Flink: decode, call the engine, encode.

It holds nothing that is not elsewhere as well: the programs are made from the definitions that it is told, the decoded
profiles are a cache that begins empty. An input that it fails on becomes a record on `events.bad`; it never raises.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from audience.engine.evaluate import Event, Outcome, on_event, on_history, on_lists, on_time
from audience.engine.explain import explain
from audience.engine.lowering import Backfill
from audience.engine.program import Program
from audience.engine.state import ProfileState
from audience.profiles.model import Membership
from audience.rules import RegexCompiler, RuleInvalid, parse_computed_trait, parse_rule
from audience.wire import topics
from audience.wire.state import decode_state, encode_state, new_state
from audience.wire.topics import (
    BackfillCommand,
    ComputedTraitRecord,
    ExplainCommand,
    ExplainReply,
    MembershipChange,
    ProfileRecord,
    ReplayCommand,
    SegmentRecord,
)
from flink_jobs.rule_evaluation.delays import Delays

logger = logging.getLogger(__name__)

EPOCH_BITS: Final = 32
"""A profile's version is the epoch above this many bits of a counter, so that it grows across restores."""

EVALUATED: Final = frozenset(("live", "paused"))

Record = tuple[str, str, str]
"""An output: topic, key, value."""

Load = Callable[[], bytes | None]
"""Reads the profile's state from Flink."""


@dataclass(slots=True)
class Counters:
    """What the job's metrics show; each grows only."""

    events: int = 0
    duplicates: int = 0
    leaves: int = 0
    """Windows and sequences that were measured."""
    evaluations: int = 0
    """Rules that were evaluated, because something that they rest on had changed."""
    changes: int = 0
    timers: int = 0
    history: int = 0
    """Archived events that were fed to segments that wait for a backfill."""
    forgotten: int = 0
    """Profiles of which nothing had been heard for their retention."""
    failures: int = 0
    state_reads: int = 0
    cache_hits: int = 0
    state_writes: int = 0
    state_bytes: int = 0
    """Of all writes together: divided by their number, the size of a profile."""
    newest_ms: int = 0
    """When the newest event that has been evaluated was accepted."""
    delays: Delays = field(default_factory=Delays)
    """From an event's acceptance to its evaluation."""


@dataclass(slots=True)
class Step:
    """What is to be done after an input: records to send, state to keep, the timer to set."""

    records: list[Record] = field(default_factory=list)
    state: bytes | None = None
    """None where the state has not changed."""
    clear: bool = False
    """Nothing is to be kept of the profile."""
    set_timer_ms: int | None = None
    delete_timer_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SegmentChange:
    """As the engine's `Change`."""

    segment: str
    entered: bool
    at_ms: int
    version: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """What many events together did to a profile, as the engine's `Outcome`."""

    changes: list[SegmentChange]
    visible: bool = True
    leaves: int = 0
    evaluations: int = 0


class Evaluator:
    """One operator's worth of profiles."""

    def __init__(
        self,
        *,
        epoch: int,
        regex: RegexCompiler,
        cached_profiles: int,
        retention_ms: int,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.counters = Counters()
        self._programs: dict[str, Program] = {}
        self._first_version = epoch << EPOCH_BITS
        self._regex = regex
        self._cached_profiles = cached_profiles
        self._retention_ms = retention_ms
        self._clock_ms = clock_ms
        self._states: OrderedDict[str, ProfileState] = OrderedDict()

    def define(self, value: str) -> None:
        """Take in a definition, of a segment or a computed trait. A broken one is logged and changes nothing."""
        try:
            record = topics.decode_definition(value)
            program = self._program(record.workspace)
            if isinstance(record, SegmentRecord):
                self._define_segment(program, record)
            else:
                self._define_computed_trait(program, record)
        except (msgspec.DecodeError, RuleInvalid) as error:
            self.counters.failures += 1
            logger.error("a definition cannot be read: %s", error)  # noqa: TRY400  the data is to blame

    def _define_segment(self, program: Program, record: SegmentRecord) -> None:
        if record.status in EVALUATED:
            rule = parse_rule(msgspec.json.decode(record.rule), regex=self._regex)
            paused = record.status == "paused"
            outstanding = record.backfill
            backfill = None if outstanding is None else Backfill(outstanding.number, frozenset(outstanding.new_leaves))
            program.put(
                record.key,
                rule,
                version=record.version,
                revision=record.revision,
                paused=paused,
                born=record.born,
                backfill=backfill,
            )
        else:
            program.remove(record.key, record.revision)

    def _define_computed_trait(self, program: Program, record: ComputedTraitRecord) -> None:
        if record.status == "live":
            trait = parse_computed_trait(msgspec.json.decode(record.definition), regex=self._regex)
            program.put_computed_trait(trait, record.revision)
        else:
            program.remove_computed_trait(record.key, record.revision)

    def input(self, key: str, value: str, load: Load) -> Step:
        """Process an event, a command or the lists of a profile; `value` is a record behind its offset and a space."""
        try:
            event = Event.parse(value.encode())
            if event is not None:
                return self._event(key, event, load)
            record = topics.decode_profile_command(_without_offset(value))
            state = self._state(key, record.profile_id, load)
            if isinstance(record, ExplainCommand):
                return self._explain(state, record)
            program = self._program(record.workspace)
            if isinstance(record, BackfillCommand):
                return self._backfill(program, state, record)
            if isinstance(record, ReplayCommand):
                return self._replay(program, state, record)
            outcome = on_lists(program, state, frozenset(record.lists), self._clock_ms())
            return self._step(record.workspace, state, outcome)
        except Exception as error:  # noqa: BLE001  whatever one event causes, the job goes on and the event is kept
            return self._failed(key, _without_offset(value).encode("utf-8", "surrogatepass"), error)

    def _event(self, key: str, event: Event, load: Load) -> Step:
        state = self._state(key, event.profile_id, load)
        now_ms = self._clock_ms()
        counters = self.counters
        counters.events += 1
        counters.newest_ms = max(counters.newest_ms, event.received_ms)
        counters.delays.observe(now_ms - event.received_ms)
        outcome = on_event(self._program(event.workspace), state, event, now_ms)
        counters.duplicates += outcome.duplicate
        return self._step(event.workspace, state, outcome)

    def _backfill(self, program: Program, state: ProfileState, command: BackfillCommand) -> Step:
        self.counters.history += len(command.events)
        outcome = on_history(
            program,
            state,
            backfills=command.backfills,
            cut=command.cut,
            events=[(offset, bytes(event)) for offset, event in command.events],
            last=command.last,
            now_ms=self._clock_ms(),
        )
        return self._step(command.workspace, state, outcome)

    def _replay(self, program: Program, state: ProfileState, command: ReplayCommand) -> Step:
        """A record for each event would tell of memberships that nobody has had: what they come to is told once."""
        self.counters.history += len(command.events)
        before = state.segments
        now_ms = self._clock_ms()
        for raw in command.events:
            event = Event.parse(bytes(raw))
            if event is None:
                raise ValueError("a part of a history is no event")
            on_event(program, state, event, now_ms)
        after = state.segments
        moved = [(key, key in after) for key in {**before, **after} if (key in before) != (key in after)]
        changes = [SegmentChange(key, entered, state.now_ms, program.version_of(key)) for key, entered in moved]
        return self._step(command.workspace, state, Replayed(changes))

    def timer(self, key: str, at_ms: int, load: Load) -> Step:
        """The profile's timer has fired."""
        try:
            workspace, _, profile_id = key.partition(":")
            state = self._state(key, profile_id, load)
            self.counters.timers += 1
            if state.armed_ms <= at_ms:
                state.armed_ms = 0
            now_ms = max(at_ms, self._clock_ms())
            silent_at_ms = self._silent_at(state)
            if silent_at_ms is not None and silent_at_ms <= now_ms:
                return self._forget(key, workspace, state, now_ms)
            outcome = on_time(self._program(workspace), state, now_ms)
            return self._step(workspace, state, outcome)
        except Exception as error:  # noqa: BLE001  as above
            return self._failed(key, b"", error)

    def _silent_at(self, state: ProfileState) -> int | None:
        """When nothing will have been heard of the profile for its retention; None where nothing ever was."""
        return state.heard_ms + self._retention_ms if state.heard_ms else None

    def _forget(self, key: str, workspace: str, state: ProfileState, now_ms: int) -> Step:
        """The profile leaves every segment, and what is known of it goes.

        Its version stays until others have one that is surely smaller than any to come, and its lists for as long as
        it is on them: they are told once.
        """
        if not state.created_ms:
            if not state.lists and state.version < self._first_version:
                self._states.pop(key, None)
                return Step(clear=True)
            state.forget(now_ms)
            return self._kept(state, Step())
        program = self._program(workspace)
        changes = [SegmentChange(each, False, now_ms, program.version_of(each)) for each in state.segments]  # noqa: FBT003
        state.forget(now_ms)
        self.counters.forgotten += 1
        return self._step(workspace, state, Replayed(changes))

    def _program(self, workspace: str) -> Program:
        program = self._programs.get(workspace)
        if program is None:
            program = self._programs[workspace] = Program(self._regex)
        return program

    def _state(self, key: str, profile_id: str, load: Load) -> ProfileState:
        states = self._states
        state = states.get(key)
        if state is not None:
            self.counters.cache_hits += 1
            states.move_to_end(key)
            return state
        self.counters.state_reads += 1
        data = load()
        state = new_state(profile_id) if data is None else decode_state(data)
        states[key] = state
        if len(states) > self._cached_profiles:
            states.popitem(last=False)
        return state

    def _step(self, workspace: str, state: ProfileState, outcome: Outcome | Replayed) -> Step:
        step = Step()
        # After a restore others may know of changes that this state has never seen. The first time a profile is
        # touched it is told in full, with a version above all that were told before.
        if outcome.visible or 0 < state.version < self._first_version:
            state.version = max(state.version + 1, self._first_version)
            step.records = list(self._told(workspace, state, outcome))
        self.counters.leaves += outcome.leaves
        self.counters.evaluations += outcome.evaluations
        self.counters.changes += len(outcome.changes)
        return self._kept(state, step)

    def _kept(self, state: ProfileState, step: Step) -> Step:
        self._arm(state, step)
        step.state = encode_state(state)
        self.counters.state_writes += 1
        self.counters.state_bytes += len(step.state)
        return step

    def _told(self, workspace: str, state: ProfileState, outcome: Outcome | Replayed) -> Iterable[Record]:
        key = topics.key_of(workspace, state.profile_id)
        for change in outcome.changes:
            record = MembershipChange(
                workspace=workspace,
                profile_id=state.profile_id,
                segment=change.segment,
                change="entered" if change.entered else "exited",
                at_ms=change.at_ms,
                version=state.version,
                segment_version=change.version,
            )
            yield topics.MEMBERSHIPS, key, topics.encode(record).decode()
        profile = ProfileRecord(
            workspace=workspace,
            profile_id=state.profile_id,
            version=state.version,
            created_ms=state.created_ms,
            updated_ms=state.updated_ms,
            traits=state.traits,
            computed=state.computed,
            segments=[Membership(segment, since_ms) for segment, since_ms in state.segments.items()],
        )
        yield topics.PROFILES, key, topics.encode(profile).decode()

    def _arm(self, state: ProfileState, step: Step) -> None:
        """One timer a profile. It may fire early and be set again, which is rarer than moving it at each event."""
        due_ms = min((each for each in (state.due_ms, self._silent_at(state)) if each is not None), default=None)
        pending = state.armed_ms > state.now_ms
        if due_ms is None or (pending and state.armed_ms <= due_ms):
            return
        if pending:
            step.delete_timer_ms = state.armed_ms
        step.set_timer_ms = state.armed_ms = due_ms

    def _explain(self, state: ProfileState, command: ExplainCommand) -> Step:
        reply = ExplainReply(request_id=command.request_id, error="profile_not_found")
        if state.created_ms:
            try:
                program = self._program(command.workspace)
                found = explain(program, state, command.segment, self._clock_ms(), _copy)
                reply = ExplainReply(request_id=command.request_id, explanation=found)
            except KeyError:
                reply = ExplainReply(request_id=command.request_id, error="segment_not_found")
        return Step([(topics.REPLIES, command.request_id, topics.encode(reply).decode())])

    def _failed(self, key: str, original: bytes, error: Exception) -> Step:
        """Keep what could not be processed. The decoded state may be half changed: it is read anew when next needed."""
        self.counters.failures += 1
        self._states.pop(key, None)
        logger.error("an input of a profile failed: %s", error, exc_info=error)
        workspace, _, profile_id = key.partition(":")
        bad = topics.BadEventRecord(
            workspace=workspace,
            source=_source_of(original),
            code="evaluation_failed",
            path="",
            message=f"{type(error).__name__}: {error}",
            received_ms=self._clock_ms(),
            original=original,
            profile_id=profile_id,
        )
        return Step([(topics.EVENTS_BAD, key, topics.encode(bad).decode())])


def _without_offset(value: str) -> str:
    offset, space, record = value.partition(" ")
    return record if space and offset.isdecimal() else value


def _copy(state: ProfileState) -> ProfileState:
    return decode_state(encode_state(state))


def _source_of(original: bytes) -> str:
    try:
        found = msgspec.json.decode(original, type=dict[str, msgspec.Raw]).get("source")
        return "" if found is None else msgspec.json.decode(found, type=str)
    except msgspec.DecodeError:
        return ""
