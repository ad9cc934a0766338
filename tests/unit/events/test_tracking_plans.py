"""Tracking plans: what is refused when one is saved, and what is wrong with an event."""

import time
from typing import Any

import pytest

from audience.adapters.json_schema import compile_schema
from audience.events.tracking_plans import PlanInvalid, Violation, parse_plan
from audience.wire.topics import EventRecord

ORDER = {
    "properties": {
        "properties": {
            "type": "object",
            "required": ["total"],
            "properties": {"total": {"type": "number"}, "a/b": {"type": "string", "pattern": "^x+$"}},
        }
    }
}


def event(name: str = "Order Completed", kind: str = "track", **parts: Any) -> EventRecord:
    return EventRecord(
        workspace="w",
        source="s",
        profile_id="p",
        message_id="m",
        type=kind,
        time_ms=1,
        received_ms=1,
        name=name,
        **parts,
    )


def test_the_first_fault_has_its_place_in_the_event() -> None:
    plan = parse_plan({"mode": "block", "events": {"Order Completed": ORDER}}, compile_schema)
    assert plan.violation_of(event(properties={"total": 5, "a/b": "xx"})) is None
    assert plan.violation_of(event(properties={"total": "5"})) == Violation(
        "plan_violation", "/properties/total", '"5" is not of type "number"', "block"
    )
    missing = plan.violation_of(event())
    assert missing is not None
    assert (missing.path, missing.code) == ("/properties", "plan_violation")
    found = plan.violation_of(event(properties={"total": 1, "a/b": "y"}))
    assert found is not None
    assert found.path == "/properties/a~1b"


@pytest.mark.parametrize("mode", ["allow", "flag", "block"])
def test_an_event_that_the_plan_does_not_name(mode: str) -> None:
    plan = parse_plan({"unplanned": mode, "events": {"Order Completed": ORDER}}, compile_schema)
    found = plan.violation_of(event("Other"))
    assert found is not None
    assert (found.code, found.path, found.mode) == ("unplanned_event", "/event", mode)
    assert plan.violation_of(event("", "identify")) is None
    assert parse_plan({"events": {}}, compile_schema).violation_of(event("Other")) is None


def test_other_types_have_a_schema_each() -> None:
    schema = {"properties": {"traits": {"required": ["plan"]}}}
    plan = parse_plan({"types": {"identify": schema}}, compile_schema)
    assert plan.violation_of(event("", "identify", traits={"plan": "pro"})) is None
    assert plan.violation_of(event("", "identify")) is not None
    assert plan.violation_of(event("", "group")) is None


@pytest.mark.parametrize(
    ("document", "code", "path"),
    [
        ([], "wrong_type", ""),
        ({"events": []}, "wrong_type", "/events"),
        ({"mode": "deny"}, "bad_value", "/mode"),
        ({"unplanned": None}, "bad_value", "/unplanned"),
        ({"more": 1}, "unknown_key", "/more"),
        ({"types": {"track": {}}}, "bad_value", "/types/track"),
        ({"events": {"": {}}}, "bad_value", "/events/"),
        ({"events": {"a/b": 5}}, "schema_invalid", "/events/a~1b"),
        ({"events": {"a": {"type": "text"}}}, "schema_invalid", "/events/a/type"),
        ({"events": {"a": {"pattern": "("}}}, "schema_invalid", "/events/a/pattern"),
        ({"events": {"a": {"pattern": "(?=b)c"}}}, "schema_invalid", "/events/a/pattern"),
        ({"events": {"a": {"pattern": "((a{0,99}){0,99}){0,99}"}}}, "schema_invalid", "/events/a/pattern"),
        ({"events": {"a": {"$ref": "http://127.0.0.1:1/secret"}}}, "schema_invalid", "/events/a/$ref"),
        ({"events": {"a": {"$ref": "#/$defs/b"}}}, "schema_invalid", "/events/a/$ref"),
        ({"events": {"a": {"$ref": "#"}}}, "schema_invalid", "/events/a/$ref"),
        ({"events": {"a": {"$id": "http://x/y"}}}, "schema_invalid", "/events/a/$id"),
    ],
)
def test_refused_when_it_is_saved(document: Any, code: str, path: str) -> None:
    with pytest.raises(PlanInvalid) as refused:
        parse_plan(document, compile_schema)
    assert [(each.code, each.path) for each in refused.value.faults] == [(code, path)]


def test_a_schema_that_doubles_at_every_step_is_refused_at_once() -> None:
    defs: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(18)}
    schema = {"$defs": {**defs, "d18": {}}, "$ref": "#/$defs/d0"}
    with pytest.raises(PlanInvalid, match="parts"):
        parse_plan({"events": {"a": schema}}, compile_schema)


def test_references_nested_deep_are_refused_whichever_way_round_they_stand() -> None:
    for order in (range(200), reversed(range(200))):
        defs: dict[str, Any] = {f"d{n}": {"not": {"$ref": f"#/$defs/d{n + 1}"}} for n in order}
        with pytest.raises(PlanInvalid, match="deeper"):
            parse_plan({"events": {"a": {"$defs": {"d200": {}, **defs}, "$ref": "#/$defs/d0"}}}, compile_schema)


def test_names_that_look_like_keywords_are_names() -> None:
    schema = {"properties": {"$ref": {"type": "object"}, "id": {"enum": [{"$ref": "x"}]}, "enum": {"type": "null"}}}
    parse_plan({"events": {"a": schema}}, compile_schema)


def test_a_pattern_takes_time_in_proportion_to_the_text() -> None:
    schema = {"properties": {"properties": {"properties": {"x": {"pattern": "^(a+)+$"}}}}}
    plan = parse_plan({"events": {"a": schema}}, compile_schema)
    started_s = time.perf_counter()
    assert plan.violation_of(event("a", properties={"x": "a" * 30_000 + "b"})) is not None
    assert time.perf_counter() - started_s < 5  # with backtracking: longer than the universe


def test_numbers_of_any_size_and_depth_to_the_limit() -> None:
    nested: Any = {}
    for _ in range(98):
        nested = {"a": nested}
    plan = parse_plan({"events": {"a": {"type": "object"}}}, compile_schema)
    assert plan.violation_of(event("a", properties={"n": 10**300, "m": 1e308, "d": nested})) is None
