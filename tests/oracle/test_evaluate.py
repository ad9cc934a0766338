"""The worked examples of the contract, and worlds built by hand."""

import pytest

from tests.oracle import (
    Event,
    World,
    candidate_times,
    computed_value,
    event_from_json,
    member,
    trait_value,
    value,
    world_from_json,
    world_to_json,
)
from tests.oracle.evaluate import bucket_of
from tests.oracle.times import DAY_MS, HOUR_MS, MINUTE_MS
from tests.oracle.world import JsonObject

T = 1_772_368_496_789  # 2026-03-01T12:34:56.789Z
CART_ABANDONED = {
    "sequence": [{"event": "Product Added"}, {"event": "Order Completed", "absent": True, "within": "1h"}],
    "within": "24h",
}
BIG_SPENDER = {
    "event": "Order Completed",
    "type": "track",
    "where": [{"property": "currency", "op": "eq", "value": "EUR"}],
    "within": "30d",
    "measure": {"sum": "total"},
    "is": {"gte": 500},
}


def track(name: str, ago_ms: int, message_id: str | None = None, **properties: object) -> Event:
    return Event(
        time_ms=T - ago_ms,
        received_ms=T - ago_ms,
        message_id=message_id or f"{name} {ago_ms}",
        name=name,
        user_id="u1",
        properties=properties,
    )


def identify(ago_ms: int, message_id: str, traits: JsonObject, context: JsonObject | None = None) -> Event:
    return Event(T - ago_ms, T - ago_ms, message_id, "identify", user_id="u1", traits=traits, context=context or {})


def world(*events: Event, **rest: object) -> World:
    return World("u1", events, **rest)  # type: ignore[arg-type]


def test_a_trait() -> None:
    rule = {"trait": "plan", "op": "eq", "value": "pro"}
    assert member(rule, world(identify(5, "m1", {"plan": "pro"})), T)
    assert not member(rule, world(identify(5, "m1", {"plan": "free"})), T)
    assert trait_value("address.city", world(identify(5, "m1", {"address": {"city": "Graz"}})), T) == "Graz"


def test_a_sum_in_a_window() -> None:
    orders = [
        track("Order Completed", 30 * DAY_MS + 34 * MINUTE_MS + 56_789, total=200.1, currency="EUR"),
        track("Order Completed", DAY_MS, total=299.9, currency="EUR"),
        track("Order Completed", DAY_MS + 1, total=299.9, currency="USD"),
    ]
    assert value(BIG_SPENDER, world(*orders), T) == 500
    assert member(BIG_SPENDER, world(*orders), T)
    assert value(BIG_SPENDER, world(*orders), T + 25 * MINUTE_MS + 3_211) == 299.9
    assert not member(BIG_SPENDER, world(*orders), T + 25 * MINUTE_MS + 3_211)


def test_cart_abandoned() -> None:
    added = track("Product Added", HOUR_MS)
    assert member(CART_ABANDONED, world(added), T)
    assert not member(CART_ABANDONED, world(added), T - 1)
    assert not member(CART_ABANDONED, world(added, track("Order Completed", 0)), T)
    assert member(CART_ABANDONED, world(added, track("Order Completed", HOUR_MS)), T)


def test_never_did_it() -> None:
    rule = {"event": "Order Completed", "is": {"eq": 0}}
    assert member(rule, world(track("Signed Up", 5)), T)
    assert not member(rule, world(track("Order Completed", 5)), T)
    assert not member(rule, world(), T)


def test_buckets() -> None:
    # printf %s exp-1:u1 | sha256sum says c291368a05220224…
    assert 0xC291368A05220224 % 10_000 == 6308
    assert [bucket_of("exp-1", each) for each in ("u1", "u873", "u5833", "u469")] == [6308, 0, 9999, 2000]
    rule = {"bucket": {"salt": "exp-1", "from": 0, "to": 6309}}
    assert member(rule, world(track("A", 5)), T)
    assert not member({"bucket": {**rule["bucket"], "to": 6308}}, world(track("A", 5)), T)


def test_lists_and_segments() -> None:
    here = world(track("A", 5), lists=frozenset({"newsletter-2026"}), segments={"vip": {"event": "A"}, "old": False})
    assert member({"all": [{"list": "newsletter-2026"}, {"segment": "vip"}, {"not": {"segment": "old"}}]}, here, T)
    assert not member({"list": "press"}, here, T)


def test_a_reference_to_nothing_is_no_answer() -> None:
    with pytest.raises(KeyError):
        member({"segment": "nobody"}, world(track("A", 5)), T)
    with pytest.raises(KeyError):
        member({"trait": "computed.nothing", "op": "exists"}, world(track("A", 5)), T)


@pytest.mark.parametrize("rule", [{}, {"every": []}, {"all": [], "any": []}])
def test_what_is_no_node_is_no_answer(rule: JsonObject) -> None:
    with pytest.raises(ValueError, match="is not a node"):
        member(rule, world(track("A", 5)), T)


def test_time_driven_operators_in_where_are_no_answer() -> None:
    rule = {"event": "A", "where": [{"property": "d", "op": "within_last", "value": "1d"}]}
    with pytest.raises(ValueError, match="for traits alone"):
        member(rule, world(track("A", 5, d="2026-03-01")), T)


def test_a_profile_begins_when_its_first_event_is_received() -> None:
    late = Event(T - 100, T + 50, "m1", name="A", user_id="u1")
    rule = {"not": {"event": "B"}}
    assert not member(rule, world(late), T + 49)
    assert member(rule, world(late), T + 50)
    assert not member(rule, world(), T)


def test_an_event_counts_when_it_has_been_received() -> None:
    late = Event(T - 100, T + 50, "m2", name="A", user_id="u1")
    here = world(track("B", 200), late)
    assert not member({"event": "A"}, here, T + 49)
    assert member({"event": "A"}, here, T + 50)


def test_copies() -> None:
    here = world(track("A", 50, "m1", n=1), track("A", 40, "m1", n=2), track("A", 30, "m2", n=4))
    assert value({"event": "A", "measure": {"sum": "n"}}, here, T) == 5
    other_source = Event(T - 20, T - 20, "m1", name="A", source="s2", user_id="u1", properties={"n": 8})
    assert value({"event": "A", "measure": {"sum": "n"}}, world(*here.events, other_source), T) == 13


def test_a_copy_that_arrives_later_says_nothing_however_early_its_time() -> None:
    first = Event(T - 10, T - 10, "m1", name="A", user_id="u1")
    copy = Event(T - 5 * DAY_MS, T, "m1", name="A", user_id="u1")
    assert not member({"event": "A"}, world(first, copy), T - 11)
    assert value({"event": "A", "within": "1d"}, world(first, copy), T) == 1


def test_traits_by_time_then_message_id() -> None:
    here = world(identify(5, "b", {"x": 1, "y": 1}), identify(5, "a", {"x": 2, "z": 2}), identify(9, "c", {"y": 3}))
    assert [trait_value(key, here, T) for key in "xyz"] == [1, 1, 2]
    assert trait_value("y", here, T - 6) == 3


def test_context_traits() -> None:
    here = world(identify(5, "a", {"x": None, "y": 1}, {"traits": {"x": 2, "y": 2, "z": 2}}))
    assert [trait_value(key, here, T) for key in "xyz"] == [None, 1, 2]


def test_values_of_computed_traits() -> None:
    here = world(track("A", 5, n=0.1), track("A", 6, n=0.2), track("B", 7, n=5))
    definition = {"key": "ltv", "event": "A", "measure": {"sum": "n"}}
    assert computed_value(definition, here, T) == 0.3
    assert computed_value({**definition, "event": "C"}, here, T) is None


def test_candidate_times_of_everything_that_moves() -> None:
    rule = {
        "any": [
            {"event": "A", "within": "10s"},
            {"not": {"segment": "s"}},
            {"trait": "d", "op": "within_last", "value": "1h"},
            {"trait": "computed.c", "op": "exists"},
            {"sequence": [{"event": "A"}, {"event": "B", "absent": True, "within": "90s"}], "within": "2h"},
        ]
    }
    here = world(
        track("A", 0),
        identify(DAY_MS, "m", {"d": "2026-03-01T12:34:57Z"}),
        Event(T + 7, T + 9, "m7", name="B", user_id="u1"),
        segments={"s": {"trait": "d", "op": "within_next", "value": "1d"}},
        computed_traits={"c": {"key": "c", "event": "A", "within": "25h"}},
    )
    found = candidate_times(rule, here, T, T + 30 * HOUR_MS)
    wanted = {
        *(T + 7, T + 9),  # an event that is still to come, and its receipt
        T + 10_211,  # A leaves 10 s
        *(T + 211, T + 211 + HOUR_MS + 1, T + 212),  # the date comes, goes from the last hour, and from the next day
        T + 90_000,  # no B after A
        T + 2 * HOUR_MS + 3_211,  # A leaves 2 h
        T + 25 * HOUR_MS + 25 * MINUTE_MS + 3_211,  # A leaves 25 h
    }
    assert wanted <= set(found)
    assert found == sorted(set(found))
    assert all(T < each <= T + 30 * HOUR_MS for each in found)


def test_worlds_as_json() -> None:
    here = world(track("A", 5, n=1), lists=frozenset({"b", "a"}), computed_traits={"c": {"key": "c", "event": "A"}})
    data = world_to_json(here)
    assert data["lists"] == ["a", "b"]
    assert world_from_json(data) == here


def test_events_as_json() -> None:
    least = {"time_ms": 1, "received_ms": 2, "message_id": "m"}
    assert event_from_json(least, "u1").profile_id == "u1"
    assert event_from_json({**least, "anonymous_id": "a"}, "u1").profile_id == "a"
    assert event_from_json({**least, "user_id": "", "anonymous_id": "a"}, "u1").profile_id == "a"
    with pytest.raises(ValueError, match="unknown keys \\['messageId'\\]"):
        event_from_json({**least, "messageId": "m"}, "u1")
