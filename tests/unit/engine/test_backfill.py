"""A segment that is created on the way: when it is asked, what it is fed, and what older bytes make of it."""

import base64
from dataclasses import dataclass, field
from typing import Any

import pytest

from audience.engine.evaluate import Event, Outcome, on_event, on_history, on_time
from audience.engine.lowering import Backfill, leaves_of
from audience.engine.program import Program
from audience.rules import parse_rule
from audience.wire.state import decode_state, encode_state, new_state
from tests.backfilled_stream import record_of
from tests.engine_stream import REGEX, Arrival

NOW_MS = 1_790_000_000_000
TWICE = {"event": "Order", "within": "30d", "is": {"gte": 2}}
OFTEN = {"event": "Order", "within": "30d", "is": {"gte": 3}}
YEARLY = {"event": "Order", "within": "52w", "is": {"gte": 2}}
FUNNEL = {"sequence": [{"event": "Cart"}, {"event": "Order"}], "within": "7d"}

OF_VERSION_2 = (
    "AgNhZGGAsIPFmGiSsIPFmGiSsIPFmGiEsIPFmGgDAAAEAQN2aXAAAZDLBwROgRL6popepBOJNeKTGiHr/yF4Pnbv3mRAvqSU1zLXoQALAQRwbGFu"
    "BgNwcm8UAZKwg8WYaAJtOQJzMQEEcGxhbgABQkpgGRSPizMBbFDEoAEIB3N1YmplY3QCUN8qVnc/U6XuPVaF2mN/pYCph+igAf///////04AAABw"
    "AAAAhLCDxZhoAcwpQmEkK7imBgL89bnDBAIAAQV0b3RhbIDh6xeCnJw5AgIAAgIAAcYTxhMClXo5fQGeuLAAUN8qVnc/U6UJAQGB2MGijDQEgLCD"
    "xZhoAAEAAAEAAQEAAe49VoXaY3+lCQEBgNjBoow0Ag=="
)
"""Of ada, on the list vip, who added something, ordered twice for 12.5, and is in `subject`."""


@dataclass
class Job:
    """One profile, its events numbered from 0 on."""

    program: Program = field(default_factory=lambda: Program(REGEX))
    data: bytes = field(default_factory=lambda: encode_state(new_state("ada")))
    log: list[Arrival] = field(default_factory=list)
    revision: int = 0

    def define(
        self, key: str, rule: Any, backfill: int | None = None, new: frozenset[str] | None = None, born: int = 0
    ) -> None:
        self.revision += 1
        parsed = parse_rule(rule, regex=REGEX)
        outstanding = backfill and Backfill(backfill, leaves_of(parsed) if new is None else new)
        self.program.put(key, parsed, version=1, revision=self.revision, born=born, backfill=outstanding or None)

    def event(self, name: str, minutes: int = 0) -> Outcome:
        at_ms = NOW_MS + 60_000 * minutes
        arrival = Arrival(
            "demo", "ada", "s1", f"e{len(self.log)}", "track", name, at_ms, NOW_MS + 86_400_000, {}, {}, {}
        )
        self.log.append(arrival)
        return self._do(lambda state: on_event(self.program, state, Event.of(arrival, len(self.log) - 1), state.now_ms))

    def history(self, *backfills: int, cut: int | None = None, first: int = 0, last: bool = True) -> Outcome:
        end = len(self.log) if cut is None else cut
        events = [(offset, record_of(self.log[offset])) for offset in range(first, end)]
        return self._do(
            lambda state: on_history(
                self.program, state, backfills=backfills, cut=end, events=events, last=last, now_ms=state.now_ms
            )
        )

    def _do(self, work: Any) -> Outcome:
        state = decode_state(self.data)
        outcome: Outcome = work(state)
        self.data = encode_state(state)
        return outcome

    @property
    def segments(self) -> set[str]:
        state = decode_state(self.data)
        on_time(self.program, state, state.now_ms)
        return set(state.segments)


@pytest.fixture
def job() -> Job:
    """A profile that ordered twice before anybody asked."""
    job = Job()
    job.event("Order")
    job.event("Order")
    return job


def test_a_new_segment_is_asked_once_the_history_is_in(job: Job) -> None:
    job.define("twice", TWICE, backfill=7)
    assert job.segments == set()
    assert job.event("Order").changes == []
    outcome = job.history(7)
    assert [(change.segment, change.entered) for change in outcome.changes] == [("twice", True)]
    job.define("twice", TWICE)
    assert job.segments == {"twice"}
    assert job.event("Order").changes == []


def test_until_then_the_old_answer_stands_and_does_not_flap(job: Job) -> None:
    job.define("often", OFTEN)
    job.event("Order")
    job.event("Order")
    job.event("Order")
    assert job.segments == {"often"}
    job.define("often", YEARLY, backfill=8)
    told = [job.event("Order").changes, job.event("Cart").changes, job.history(8).changes]
    job.define("often", YEARLY)
    told.append(job.event("Order").changes)
    assert told == [[], [], [], []]
    assert job.segments == {"often"}


def test_a_part_that_comes_again_counts_once(job: Job) -> None:
    job.define("often", OFTEN, backfill=7)
    job.history(7, cut=1, last=False)
    job.history(7, cut=1, last=False)
    job.history(7, last=False)
    job.history(7, last=True)
    job.history(7, last=True)
    assert job.segments == set()
    job.event("Order")
    assert job.segments == {"often"}


def test_what_came_live_is_left_out_of_the_history(job: Job) -> None:
    job.define("often", {"event": "Order", "is": {"eq": 3}}, backfill=7)
    job.event("Order")
    job.history(7)
    assert job.segments == {"often"}


def test_a_profile_that_begins_under_the_definition_is_asked_at_once() -> None:
    job = Job()
    job.define("twice", TWICE, backfill=7)
    job.event("Order")
    job.event("Order")
    assert job.segments == {"twice"}
    assert job.history(7).changes == []
    job.define("twice", TWICE)
    assert job.segments == {"twice"}


def test_who_was_in_another_segment_of_the_key_has_left_it(job: Job) -> None:
    job.define("often", {"event": "Order", "is": {"gte": 1}})
    job.event("Order")
    assert job.segments == {"often"}
    job.program.remove("often", job.revision + 1)
    job.revision += 1
    job.define("often", {"event": "Order", "is": {"gte": 2}}, backfill=9, born=job.revision + 1)
    outcome = job.history(9)
    assert [(change.segment, change.entered) for change in outcome.changes] == [("often", False), ("often", True)]
    assert job.segments == {"often"}
    job.define("often", {"event": "Order", "is": {"gte": 2}}, born=job.revision)
    assert job.event("Cart").changes == []


def test_one_without_events_is_asked_too(job: Job) -> None:
    job.define("idle", {"not": {"event": "Refund"}}, backfill=7)
    assert job.segments == set()
    job.history(7, first=2)
    assert job.segments == {"idle"}


def test_a_history_may_come_before_the_first_event() -> None:
    job = Job()
    job.define("twice", TWICE, backfill=7)
    arrival = Arrival("demo", "ada", "s1", "m", "track", "Order", NOW_MS, NOW_MS, {}, {}, {})
    job.log = [arrival, arrival]
    job.history(7)
    assert job.segments == set()
    job.event("Cart")
    assert job.segments == {"twice"}


def test_what_a_history_held_before_the_first_event_counts_once() -> None:
    job = Job()
    job.define("twice", TWICE, backfill=7)
    ahead = Arrival("demo", "ada", "s1", "e0", "track", "Order", NOW_MS, NOW_MS, {}, {}, {})
    job.log = [ahead]
    job.history(7)
    job.log = []
    job.event("Order")  # the job comes to what the history was read from
    assert job.segments == set()
    job.event("Order")
    assert job.segments == {"twice"}


def test_leaves_that_others_keep_are_asked_without_events(job: Job) -> None:
    job.define("often", OFTEN)
    job.event("Order")
    job.event("Order")
    job.define("twice", TWICE, backfill=9, new=frozenset())
    assert job.segments == set()
    job.history(9, first=len(job.log))
    assert job.segments == {"twice"}


def test_several_backfills_share_a_history(job: Job) -> None:
    job.event("Cart", 1)
    job.define("twice", TWICE, backfill=7)
    job.event("Order", 2)
    job.define("funnel", FUNNEL, backfill=8)
    job.define("often", OFTEN, backfill=9)
    job.history(7, 8, 9)
    assert job.segments == {"twice", "funnel", "often"}
    for key, rule in (("twice", TWICE), ("funnel", FUNNEL), ("often", OFTEN)):
        job.define(key, rule)
    assert job.segments == {"twice", "funnel", "often"}


def test_a_cancelled_backfill_leaves_what_came_live(job: Job) -> None:
    job.define("twice", TWICE, backfill=7)
    job.event("Order")
    job.define("twice", TWICE)
    assert job.segments == set()
    assert job.history(7).changes == []
    job.event("Order")
    assert job.segments == {"twice"}


def test_a_state_from_before_offsets_were_kept_is_read() -> None:
    data = base64.b64decode(OF_VERSION_2)
    assert data[0] == 2
    state = decode_state(data)
    assert (state.profile_id, state.lists, state.traits, set(state.segments)) == (
        "ada", {"vip"}, {"plan": "pro"}, {"subject"},
    )  # fmt: skip
    assert encode_state(state)[0] == 4
    job = Job(data=data, log=[Arrival("demo", "ada", "s1", f"old{n}", "track", "Bought", NOW_MS, NOW_MS, {}, {}, {})
                              for n in range(2)])  # fmt: skip
    rule = {"event": "Bought", "within": "52w", "is": {"eq": 2}}
    job.revision = 10
    job.define("bought", rule, backfill=7)
    assert job.segments == set()  # touched by time alone: where its events end is not known yet
    job.history(7)
    assert job.segments == {"bought"}
    job.event("Bought")
    assert job.segments == set()
