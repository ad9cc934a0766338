"""What each node of a rule found, when that changes, and the events that it rests on."""

from typing import Any

import pytest

from audience.engine import evaluate
from audience.engine.explain import MOST_EVENTS, explain, with_events
from audience.engine.program import Program
from audience.engine.state import ProfileState
from audience.events.model import Event
from audience.rules import parse_rule
from audience.wire.state import decode_state, encode_state, new_state
from tests.engine_stream import REGEX, Arrival

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000


def event(message_id: str, name: str = "Order", days_ago: float = 1, **fields: Any) -> Event:
    given = {
        "workspace": "demo", "profile_id": "ada", "source": "s1", "type": "track", "properties": {},
        "context": {}, "traits": {}, "received_ms": NOW_MS,
    }  # fmt: skip
    return Arrival(message_id=message_id, name=name, time_ms=NOW_MS - int(days_ago * DAY_MS), **{**given, **fields})


def shown(rule: Any, *events: Event, tree: dict[str, Any] | None = None) -> dict[str, Any]:
    explanation = {"segment": "s", "tree": tree or {"path": "", "truth": True}}
    return with_events(explanation, parse_rule(rule, regex=REGEX), events, NOW_MS, REGEX)


def ids(tree: dict[str, Any]) -> list[str]:
    return [each["message_id"] for each in tree["events"]]


def copy(state: ProfileState) -> ProfileState:
    return decode_state(encode_state(state))


def test_each_node_says_what_it_found_and_when_that_changes() -> None:
    program = Program(REGEX)
    rule = {
        "all": [
            {"event": "Order", "within": "1h"},
            {"any": [{"event": "Order", "within": "7d", "measure": {"sum": "total"}, "is": {"gt": 2}}]},
            {"not": {"trait": "plan", "op": "eq", "value": "pro"}},
        ]
    }
    program.put("s", parse_rule(rule, regex=REGEX), version=4, revision=1)
    state = new_state("ada")
    order = evaluate.Event.of(event("m1", days_ago=0, properties={"total": 2.5}))
    evaluate.on_event(program, state, order, NOW_MS)
    before = encode_state(state)
    within_the_hour = {"next_change_at": "2026-09-21T15:13:21.000Z"}
    assert explain(program, state, "s", NOW_MS + 1_000, copy) == {
        "profile_id": "ada",
        "segment": "s",
        "version": 4,
        "member": True,
        "as_of": "2026-09-21T14:13:21.000Z",
        "tree": {
            "path": "",
            "truth": True,
            **within_the_hour,
            "children": [
                {"path": "/all/0", "truth": True, "value": 1, **within_the_hour},
                {
                    "path": "/all/1",
                    "truth": True,
                    "next_change_at": "2026-09-28T15:00:00.000Z",
                    "children": [
                        {
                            "path": "/all/1/any/0",
                            "truth": True,
                            "value": 2.5,
                            "next_change_at": "2026-09-28T15:00:00.000Z",
                        }
                    ],
                },
                {"path": "/all/2", "truth": True, "children": [{"path": "/all/2/not", "truth": False}]},
            ],
        },
    }
    assert encode_state(state) == before
    with pytest.raises(KeyError):
        explain(program, state, "other", NOW_MS, copy)


def test_the_newest_come_first_and_the_rest_is_as_it_was() -> None:
    tree = {"path": "", "truth": True, "value": 2}
    found = shown({"event": "Order"}, event("m1", days_ago=3), event("m2", days_ago=2), tree=tree)
    assert found["segment"] == "s"
    assert (found["tree"]["path"], found["tree"]["truth"], found["tree"]["value"]) == ("", True, 2)
    assert found["tree"]["events"] == [
        {"message_id": "m2", "timestamp": "2026-09-19T14:13:20.000Z", "type": "track", "event": "Order"},
        {"message_id": "m1", "timestamp": "2026-09-18T14:13:20.000Z", "type": "track", "event": "Order"},
    ]
    assert "events" not in tree


def test_of_one_time_the_larger_message_id_comes_first() -> None:
    assert ids(shown({"event": "Order"}, event("a"), event("c"), event("b"))["tree"]) == ["c", "b", "a"]


def test_there_are_ten_at_most() -> None:
    many = [event(f"m{number:02}", days_ago=number) for number in range(1, 15)]
    assert ids(shown({"event": "Order"}, *many)["tree"]) == [f"m{number:02}" for number in range(1, MOST_EVENTS + 1)]


def test_a_copy_is_shown_as_it_was_accepted_first_and_sources_are_told_apart() -> None:
    copies = event("m1", days_ago=2), event("m1", days_ago=1), event("m1", days_ago=3, source="s2")
    found = shown({"event": "Order"}, *copies)["tree"]["events"]
    assert [each["timestamp"][:10] for each in found] == ["2026-09-19", "2026-09-18"]


def test_each_node_has_its_own() -> None:
    rule = {
        "all": [
            {"event": "Order", "where": [{"property": "total", "op": "gt", "value": 5}]},
            {"not": {"event": "Refund"}},
            {"trait": "plan", "op": "eq", "value": "pro"},
        ]
    }
    tree = {
        "path": "",
        "truth": True,
        "children": [
            {"path": "/all/0", "truth": True},
            {"path": "/all/1", "truth": True, "children": [{"path": "/all/1/not", "truth": False}]},
            {"path": "/all/2", "truth": True},
        ],
    }
    events = event("m1", properties={"total": 9}), event("m2", properties={"total": 1}), event("m3", name="Refund")
    root = shown(rule, *events, tree=tree)["tree"]
    order, refund, trait = root["children"]
    assert "events" not in root
    assert ids(order) == ["m1"]
    assert "events" not in refund
    assert ids(refund["children"][0]) == ["m3"]
    assert trait == {"path": "/all/2", "truth": True}


def test_only_what_is_inside_the_window() -> None:
    rule = {"event": "Order", "within": "7d"}
    hour = 1 / 24
    events = event("now", days_ago=0), event("early", days_ago=-0.001), event("last", days_ago=7 + hour / 6)
    assert ids(shown(rule, *events, event("old", days_ago=7 + hour / 4))["tree"]) == ["now", "last"]
    assert ids(shown({"event": "Order"}, event("old", days_ago=700), event("early", days_ago=-1))["tree"]) == ["old"]


def test_a_measure_rests_on_events_that_have_its_property() -> None:
    rule = {"event": "Order", "measure": {"sum": "a.b"}, "is": {"gt": 0}}
    events = event("m1", properties={"a": {"b": 1}}), event("m2", properties={"a": {}}), event("m3")
    assert ids(shown(rule, *events)["tree"]) == ["m1"]


def test_a_sequence_rests_on_the_events_of_its_steps() -> None:
    rule = {"sequence": [{"event": "Cart"}, {"event": "Order"}], "within": "7d"}
    events = event("m1", name="Cart", days_ago=2), event("m2"), event("m3", name="Other"), event("m4", days_ago=9)
    assert ids(shown(rule, *events)["tree"]) == ["m2", "m1"]
