"""Which profiles SQL may leave out for a rule: none for whom it could hold."""

from typing import Any

import pytest

from audience.adapters.lake.necessities import NOTHING, Atom, Both, Either, Needs, atoms, having
from audience.adapters.regex import compile_regex
from audience.rules import parse_computed_trait, parse_rule

NOW_MS = 1_790_000_000_000
A = "type = 'track' AND name = 'A'"
B = "type = 'track' AND name = 'B'"


def need(rule: dict[str, Any], **more: Any) -> Any:
    return Needs(NOW_MS, **more).of(parse_rule(rule, regex=compile_regex))


@pytest.mark.parametrize(
    "rule",
    [
        {"event": "A", "is": {"eq": 0}},
        {"event": "A", "is": {"lt": 3}},
        {"event": "A", "measure": {"sum": "n"}, "is": {"gte": -5}},
        {"not": {"event": "A", "is": {"gte": 2}}},
        {"not": {"event": "A", "measure": {"avg": "n"}, "is": {"gte": 2}}},
        {"not": {"sequence": [{"event": "A"}], "within": "1h"}},
        {"trait": "plan", "op": "absent"},
        {"not": {"trait": "plan", "op": "eq", "value": "pro"}},
        {"any": [{"event": "A"}, {"list": "l"}]},
        {"bucket": {"salt": "x", "from": 0, "to": 5}},
        {"segment": "unknown"},
    ],
)
def test_what_can_hold_for_somebody_without_events_leaves_nobody_out(rule: dict[str, Any]) -> None:
    assert need(rule) == NOTHING


@pytest.mark.parametrize(
    ("rule", "least"),
    [
        ({"event": "A"}, 1),
        ({"event": "A", "is": {"gte": 3}}, 3),
        ({"event": "A", "is": {"gt": 3}}, 4),
        ({"event": "A", "is": {"gt": 2.5}}, 3),
        ({"event": "A", "is": {"eq": 2, "lte": 9}}, 2),
        ({"event": "A", "measure": {"distinct": "n"}, "is": {"gte": 4}}, 4),
        ({"event": "A", "measure": {"sum": "n"}, "is": {"gte": 400}}, 1),
        ({"event": "A", "measure": {"min": "n"}, "is": {"lte": 0}}, 1),
        ({"not": {"event": "A", "is": {"eq": 0}}}, 1),
        ({"not": {"not": {"event": "A", "is": {"gte": 7}}}}, 7),
    ],
)
def test_so_many_events_at_least(rule: dict[str, Any], least: int) -> None:
    assert need(rule) == Atom(A, least)


def test_a_window_begins_with_its_first_pane() -> None:
    found = need({"event": "A", "within": "30d"})
    hour = 3_600_000
    assert found.since_ms == (NOW_MS // hour - 30 * 24) * hour
    assert str(found.since_ms * 1_000) in found.where


def test_all_and_any_turn_round_under_not() -> None:
    rules = [{"event": "A", "is": {"eq": 0}}, {"event": "B", "is": {"eq": 0}}]
    assert need({"not": {"any": rules}}) == Both((Atom(A, 1), Atom(B, 1)))
    assert need({"not": {"all": rules}}) == Either((Atom(A, 1), Atom(B, 1)))


def test_a_sequence_needs_each_of_its_steps() -> None:
    steps = [{"event": "A"}, {"event": "A"}, {"event": "B"}, {"event": "C", "absent": True, "within": "1m"}]
    found = need({"sequence": steps, "within": "1h"})
    assert sorted(atom.least for atom in atoms(found)) == [1, 2]


def test_segments_and_computed_traits_are_looked_into() -> None:
    segments = {"s": parse_rule({"event": "A", "is": {"gte": 2}}, regex=compile_regex)}
    trait = parse_computed_trait({"key": "c", "event": "B", "measure": {"sum": "n"}}, regex=compile_regex)
    rule = {"all": [{"segment": "s"}, {"trait": "computed.c", "op": "lt", "value": 5}]}
    found = need(rule, segments=segments, computed_traits={"c": trait})
    assert found == Both((Atom(A, 2), Atom(B, 1)))
    assert having(found, {A: "a", B: "b"}) == "(a >= 2 AND b >= 1)"


@pytest.mark.parametrize(
    ("value", "looked_for"), [("pro", True), ("prö", False), ('a"b', False), ("a\\b", False), (5, False)]
)
def test_only_texts_that_json_writes_in_one_way_are_looked_for(value: Any, looked_for: bool) -> None:
    where = need({"trait": "plan", "op": "eq", "value": value}).where
    assert ("coalesce(contains(traits" in where) is looked_for


def test_names_cannot_end_a_text_of_sql() -> None:
    assert need({"event": "it's"}).where == "type = 'track' AND name = 'it''s'"
