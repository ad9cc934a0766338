"""The evaluator as the operator drives it, with Flink's state as a dictionary."""

import base64
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from audience.adapters.regex import compile_regex
from audience.engine.lowering import leaves_of
from audience.rules import parse_rule
from audience.wire import topics
from audience.wire.topics import (
    BackfillCommand,
    ComputedTraitRecord,
    EventRecord,
    ExplainCommand,
    MembershipChange,
    OutstandingBackfill,
    ProfileListsRecord,
    ProfileRecord,
    ReplayCommand,
    SegmentRecord,
)
from flink_jobs.rule_evaluation.evaluator import EPOCH_BITS, Evaluator, Step

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
RETENTION_MS = 100 * DAY_MS
BUYERS = {"event": "Order Completed", "within": "30d", "is": {"gte": 2}}


@dataclass
class Operator:
    """Flink, as far as the evaluator can tell: keyed state, timers, a clock."""

    epoch: int = 1
    now_ms: int = NOW_MS
    states: dict[str, bytes] = field(default_factory=dict)
    timers: dict[str, set[int]] = field(default_factory=dict)
    sent: list[tuple[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.evaluator = Evaluator(
            epoch=self.epoch, regex=compile_regex, cached_profiles=2, retention_ms=RETENTION_MS,
            clock_ms=lambda: self.now_ms,
        )  # fmt: skip

    def segment(self, key: str, rule: dict[str, Any], revision: int = 1, status: str = "live") -> None:
        record = SegmentRecord(
            workspace="demo", key=key, revision=revision, version=1, status=status,
            rule=msgspec.Raw(msgspec.json.encode(rule)),
        )  # fmt: skip
        self.evaluator.define(topics.encode(record).decode())

    def computed_trait(self, key: str, definition: dict[str, Any], revision: int, status: str = "live") -> None:
        record = ComputedTraitRecord(
            workspace="demo", key=key, revision=revision, status=status,  # type: ignore[arg-type]
            definition=msgspec.Raw(msgspec.json.encode({"key": key, **definition})),
        )  # fmt: skip
        self.evaluator.define(topics.encode(record).decode())

    def lists(self, profile_id: str, *names: str) -> list[Any]:
        record = ProfileListsRecord(workspace="demo", profile_id=profile_id, revision=1, lists=names)
        return self.input(f"demo:{profile_id}", topics.encode(record).decode())

    def event(self, profile_id: str, message_id: str, **fields: Any) -> list[Any]:
        record = EventRecord(
            workspace="demo", source="s", profile_id=profile_id, message_id=message_id, type="track",
            name="Order Completed", time_ms=fields.pop("time_ms", self.now_ms), received_ms=self.now_ms, **fields,
        )  # fmt: skip
        return self.input(f"demo:{profile_id}", topics.encode(record).decode())

    def input(self, key: str, value: str) -> list[Any]:
        return self.done(key, self.evaluator.input(key, value, lambda: self.states.get(key)))

    def fire(self, to_ms: int) -> list[Any]:
        """Let time pass: every timer at its instant."""
        sent: list[Any] = []
        while due := min(((at, key) for key, ats in self.timers.items() for at in ats if at <= to_ms), default=None):
            at_ms, key = due
            self.now_ms = max(self.now_ms, at_ms)
            self.timers[key].discard(at_ms)
            sent += self.done(key, self.evaluator.timer(key, at_ms, lambda key=key: self.states.get(key)))
        self.now_ms = max(self.now_ms, to_ms)
        return sent

    def done(self, key: str, step: Step) -> list[Any]:
        if step.state is not None:
            self.states[key] = step.state
        if step.clear:
            del self.states[key]
        timers = self.timers.setdefault(key, set())
        timers.discard(step.delete_timer_ms or 0)
        if step.set_timer_ms is not None:
            timers.add(step.set_timer_ms)
        assert len({at_ms for at_ms in timers if at_ms > self.now_ms}) <= 1, "more than one timer for a profile"
        decoders = {topics.MEMBERSHIPS: topics.decode_membership_change, topics.PROFILES: topics.decode_profile}
        sent = [(topic, decoders.get(topic, msgspec.json.decode)(value)) for topic, _, value in step.records]
        assert all(each == key for topic, each, _ in step.records if topic in decoders)
        self.sent += sent
        return [record for _, record in sent]

    def restored(self, **changes: Any) -> "Operator":
        """Another operator that starts from this one's state, timers and segments."""
        return Operator(
            epoch=changes.get("epoch", self.epoch + 1),
            now_ms=self.now_ms,
            states=dict(changes.get("states", self.states)),
            timers={key: set(ats) for key, ats in changes.get("timers", self.timers).items()},
        )


@pytest.fixture
def operator() -> Operator:
    found = Operator()
    found.segment("buyers", BUYERS)
    return found


def test_a_segment_waits_for_its_history(operator: Operator) -> None:
    """Inputs come behind their offsets; what was accepted before the segment was defined is in the lake."""
    rule = {"event": "Order Completed", "within": "365d", "is": {"gte": 2}}
    archived = [
        EventRecord(
            workspace="demo", source="s", profile_id="u", message_id=f"m{offset}", type="track",
            name="Order Completed", time_ms=NOW_MS, received_ms=NOW_MS,
        )
        for offset in (3, 7)
    ]  # fmt: skip
    for offset, event in zip((3, 7), archived, strict=True):
        operator.input("demo:u", f"{offset} {topics.encode(event).decode()}")
    leaves = tuple(leaves_of(parse_rule(rule, regex=compile_regex)))
    record = SegmentRecord(
        workspace="demo", key="yearly", revision=2, version=1, status="live",
        rule=msgspec.Raw(msgspec.json.encode(rule)), backfill=OutstandingBackfill(5, leaves),
    )  # fmt: skip
    operator.evaluator.define(topics.encode(record).decode())
    command = BackfillCommand(
        workspace="demo", profile_id="u", backfills=(5,), cut=9, last=True,
        events=((3, msgspec.Raw(topics.encode(archived[0]))), (7, msgspec.Raw(topics.encode(archived[1])))),
    )  # fmt: skip
    change, profile = operator.input("demo:u", f"0 {topics.encode(command).decode()}")
    assert (change.segment, change.change) == ("yearly", "entered")
    assert {each.segment for each in profile.segments} == {"buyers", "yearly"}
    assert operator.evaluator.counters.history == 2
    assert operator.input("demo:u", f"1 {topics.encode(command).decode()}") == []


def test_archived_events_are_taken_in_by_a_job_without_state(operator: Operator) -> None:
    """They are told of once, with what they come to; their copies count once; live events may have come first."""
    archived = [
        msgspec.Raw(
            topics.encode(
                EventRecord(
                    workspace="demo", source="s", profile_id="u", message_id=f"m{number}", type="track",
                    name="Order Completed", time_ms=NOW_MS - 1000 * number, received_ms=NOW_MS - 1000 * number,
                )
            )
        )
        for number in (1, 2, 1)
    ]  # fmt: skip
    live = EventRecord(
        workspace="demo", source="s", profile_id="u", message_id="m0", type="identify",
        time_ms=NOW_MS, received_ms=NOW_MS, traits={"plan": "pro"},
    )  # fmt: skip
    assert len(operator.input("demo:u", f"90 {topics.encode(live).decode()}")) == 1
    command = ReplayCommand(workspace="demo", profile_id="u", events=tuple(archived))
    change, profile = operator.input("demo:u", f"0 {topics.encode(command).decode()}")
    assert (change.segment, change.change) == ("buyers", "entered")
    assert (profile.traits, [each.segment for each in profile.segments]) == ({"plan": "pro"}, ["buyers"])
    assert len(operator.input("demo:u", f"1 {topics.encode(command).decode()}")) == 1


def test_membership_and_profile_are_told(operator: Operator) -> None:
    [profile] = operator.event("u", "m1")
    assert isinstance(profile, ProfileRecord)
    assert profile.segments == []
    assert profile.version == 1 << EPOCH_BITS
    change, profile = operator.event("u", "m2")
    assert isinstance(change, MembershipChange)
    assert (change.segment, change.change, change.at_ms, change.segment_version) == ("buyers", "entered", NOW_MS, 1)
    assert [each.segment for each in profile.segments] == ["buyers"]
    assert change.version == profile.version == (1 << EPOCH_BITS) + 1


def test_an_event_that_changes_nothing_visible_tells_nothing(operator: Operator) -> None:
    for message_id in ("m1", "m2"):
        operator.event("u", message_id)
    assert operator.event("u", "m3") == []
    assert operator.event("u", "m3") == []
    assert operator.evaluator.counters.duplicates == 1


def test_a_membership_leaves_with_its_timer(operator: Operator) -> None:
    operator.event("u", "m1")
    operator.event("u", "m2")
    [due_ms] = operator.timers["demo:u"]
    assert operator.fire(due_ms - 1) == []
    change, profile = operator.fire(due_ms)
    assert (change.change, change.at_ms) == ("exited", due_ms)
    assert profile.segments == []
    assert operator.timers["demo:u"] == {NOW_MS + RETENTION_MS}


def test_profiles_beyond_the_cache_are_read_again(operator: Operator) -> None:
    for profile_id in ("a", "b", "c"):
        operator.event(profile_id, "m1")
    change, _ = operator.event("a", "m2")
    assert change.change == "entered"
    assert operator.evaluator.counters.state_reads == 4


def test_after_a_restore_versions_grow_and_the_first_touch_tells_all(operator: Operator) -> None:
    operator.event("u", "m1")
    checkpoint = (dict(operator.states), {key: set(ats) for key, ats in operator.timers.items()})
    lost = operator.event("u", "m2")
    after = operator.restored(states=checkpoint[0], timers=checkpoint[1])
    after.segment("buyers", BUYERS)
    replayed = after.event("u", "m2")
    assert [type(record) for record in replayed] == [type(record) for record in lost]
    assert replayed[-1].version > lost[-1].version


def test_after_a_restore_a_profile_is_told_even_where_nothing_changes(operator: Operator) -> None:
    operator.event("u", "m1")
    operator.event("u", "m2")
    [due_ms] = operator.timers["demo:u"]
    checkpoint = (dict(operator.states), {key: set(ats) for key, ats in operator.timers.items()})
    # Told after the checkpoint: the membership ended. Then an event that had been on its way keeps it going instead.
    exited = operator.fire(due_ms)
    after = operator.restored(states=checkpoint[0], timers=checkpoint[1])
    after.segment("buyers", BUYERS)
    after.now_ms = due_ms - 1
    for message_id in ("m3", "m4"):
        after.event("u", message_id)
    told = [record for topic, record in after.sent if topic == topics.PROFILES]
    assert [each.segment for each in told[0].segments] == ["buyers"]
    assert told[0].version > exited[-1].version
    assert len(told) == 1, "told in full once an epoch, then only of changes"


def test_what_cannot_be_evaluated_is_kept_and_the_profile_goes_on(operator: Operator) -> None:
    operator.event("u", "m1")
    [bad] = operator.input("demo:u", '{"schema": "event/1"')
    assert (bad["code"], bad["profile_id"], bad["workspace"]) == ("evaluation_failed", "u", "demo")
    assert base64.b64decode(bad["original"]) == b'{"schema": "event/1"'
    assert operator.event("u", "m2")[0].change == "entered"
    assert operator.evaluator.counters.failures == 1


def test_a_segment_that_cannot_be_read_changes_nothing(operator: Operator) -> None:
    operator.segment("broken", {"nonsense": 1}, revision=2)
    operator.evaluator.define("{")
    operator.event("u", "m1")
    assert operator.event("u", "m2")[0].segment == "buyers"
    assert operator.evaluator.counters.failures == 2


def test_a_deleted_segment_is_left_at_the_next_touch_and_an_old_definition_cannot_bring_it_back(
    operator: Operator,
) -> None:
    operator.event("u", "m1")
    operator.event("u", "m2")
    operator.segment("buyers", BUYERS, revision=5, status="deleted")
    operator.segment("buyers", BUYERS, revision=4)
    change, profile = operator.event("u", "m3")
    assert (change.segment, change.change) == ("buyers", "exited")
    assert profile.segments == []


def test_a_new_segment_is_asked_at_the_next_touch(operator: Operator) -> None:
    operator.event("u", "m1")
    operator.segment("never-refunded", {"event": "Order Refunded", "is": {"eq": 0}}, revision=2)
    change, _, _ = operator.event("u", "m2")
    assert {change.segment} <= {"never-refunded", "buyers"}
    assert {record.segment for topic, record in operator.sent if topic == topics.MEMBERSHIPS} == {
        "never-refunded",
        "buyers",
    }


def test_explain_is_answered_from_the_state(operator: Operator) -> None:
    operator.event("u", "m1")

    def ask(profile_id: str, segment: str) -> Any:
        command = ExplainCommand(workspace="demo", profile_id=profile_id, request_id="r", segment=segment)
        [reply] = operator.input(f"demo:{profile_id}", topics.encode(command).decode())
        return reply

    found = ask("u", "buyers")
    assert found["request_id"] == "r"
    assert found["explanation"]["member"] is False
    assert found["explanation"]["tree"]["value"] == 1
    assert ask("u", "nothing")["error"] == "segment_not_found"
    assert ask("nobody", "buyers")["error"] == "profile_not_found"


def test_a_list_is_joined_and_left(operator: Operator) -> None:
    operator.segment("press", {"list": "press"}, revision=2)
    assert operator.lists("u", "press", "other") == []  # a list alone makes no profile
    assert [each.segment for each in operator.event("u", "m1")[:-1]] == ["press"]
    [left, profile] = operator.lists("u", "other")
    assert (left.segment, left.change, profile.segments) == ("press", "exited", [])
    assert operator.lists("u", "other") == []


def test_a_computed_trait_is_told_and_read_by_rules(operator: Operator) -> None:
    operator.computed_trait("orders", {"event": "Order Completed"}, revision=2)
    operator.segment("regulars", {"trait": "computed.orders", "op": "gte", "value": 3}, revision=3)
    for number in (1, 2):
        assert operator.event("u", f"m{number}")[-1].computed == {"orders": number}
    assert [each.segment for each in operator.event("u", "m3")[:-1]] == ["regulars"]
    operator.computed_trait("orders", {"event": "Order Completed"}, revision=4, status="deleted")
    operator.computed_trait("orders", {"event": "Order Completed"}, revision=2)  # an old definition, read again
    change, profile = operator.event("u", "m4")
    assert (change.segment, change.change, profile.computed) == ("regulars", "exited", {})


def test_a_profile_that_fell_silent_is_forgotten(operator: Operator) -> None:
    """It leaves every segment and is told to hold nothing; a version greater than all before goes on to be kept."""
    operator.segment("everybody", {"not": BUYERS}, revision=2)
    operator.segment("seldom", {"event": "Order Completed", "within": "365d", "is": {"gte": 1}}, revision=3)
    _, _, first = operator.event("u", "m1")
    assert operator.fire(NOW_MS + RETENTION_MS - 1) == []
    sent = operator.fire(NOW_MS + RETENTION_MS)
    assert {(each.segment, each.change) for each in sent[:-1]} == {("everybody", "exited"), ("seldom", "exited")}
    told = sent[-1]
    assert (told.segments, told.traits, told.created_ms) == ([], {}, 0)
    assert told.version == first.version + 1
    assert {each.version for each in sent[:-1]} == {told.version}
    assert operator.evaluator.counters.forgotten == 1
    assert len(operator.states["demo:u"]) < 64
    operator.now_ms += DAY_MS
    *_, again = operator.event("u", "m2")
    assert again.version == told.version + 1
    assert {each.segment for each in again.segments} == {"everybody", "seldom"}


def test_each_event_lets_a_profile_stay_for_its_retention(operator: Operator) -> None:
    operator.event("u", "m1")
    operator.now_ms += 99 * DAY_MS
    operator.event("u", "m2")
    assert operator.fire(NOW_MS + 198 * DAY_MS) == []
    [told] = operator.fire(NOW_MS + 199 * DAY_MS)
    assert told.created_ms == 0


def test_of_a_forgotten_profile_nothing_stays_once_the_job_has_begun_again(operator: Operator) -> None:
    """Before that its version stays: one that is given twice would be taken for old."""
    operator.event("u", "m1")
    operator.fire(NOW_MS + RETENTION_MS)
    assert operator.fire(NOW_MS + 3 * RETENTION_MS) == []
    assert set(operator.states) == {"demo:u"}
    after = operator.restored()
    assert after.fire(NOW_MS + 4 * RETENTION_MS) == []
    assert after.states == {}
    assert after.timers == {"demo:u": set()}
    [again] = after.event("u", "m2")
    assert again.version == 2 << EPOCH_BITS


def test_who_is_on_a_list_stays_on_it(operator: Operator) -> None:
    operator.segment("listed", {"list": "vip"}, revision=2)
    operator.lists("u", "vip")
    operator.event("u", "m1")
    sent = operator.fire(NOW_MS + RETENTION_MS)
    assert [each.change for each in sent[:-1]] == ["exited"]
    after = operator.restored()
    after.segment("listed", {"list": "vip"}, revision=2)
    assert after.fire(NOW_MS + 3 * RETENTION_MS) == []
    change, _ = after.event("u", "m2")
    assert (change.segment, change.change) == ("listed", "entered")


def test_a_copy_tells_of_what_time_has_changed(operator: Operator) -> None:
    """It comes after the instant at which the profile's timer is due, and before that timer."""
    operator.event("u", "m1")
    operator.event("u", "m2")
    [due_ms] = operator.timers["demo:u"]
    operator.now_ms = due_ms + 60_000
    change, profile = operator.event("u", "m2")
    assert (change.change, profile.segments) == ("exited", [])
    assert operator.fire(operator.now_ms) == []


@pytest.mark.parametrize("jump_ms", [3_600_000, -3_600_000])
def test_the_clock_jumps_by_an_hour_and_back(operator: Operator, jump_ms: int) -> None:
    """Of the job, or of what accepted the event: versions go on, and no event is lost or counts twice."""
    operator.segment("often", {"event": "Order Completed", "within": "30d", "is": {"gte": 5}}, revision=2)
    for number in range(3):
        operator.event("u", f"before{number}")
    operator.now_ms += jump_ms
    operator.event("u", "during")
    assert operator.event("u", "during") == []
    operator.now_ms -= jump_ms
    change, profile = operator.event("u", "after")
    assert (change.segment, change.change) == ("often", "entered")
    assert {each.segment for each in profile.segments} == {"buyers", "often"}
    versions = [record.version for topic, record in operator.sent if topic == topics.PROFILES]
    assert versions == sorted(set(versions))
    [due_ms] = operator.timers["demo:u"]
    operator.fire(due_ms + 2 * abs(jump_ms) + 60_000)
    assert operator.sent[-1][1].version > versions[-1]
    assert operator.sent[-1][1].segments == []
