"""What must hold of every rule and history, tried on generated ones."""

import json
from itertools import pairwise, permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import generate, strategies
from tests.generate import Features, Pair, catalog_of, world_of
from tests.oracle import World, candidate_times, computed_trait_problems, member, problems
from tests.oracle.choices import SeededChoices
from tests.oracle.evaluate import counting, matches
from tests.oracle.times import duration_ms, in_window
from tests.oracle.world import JsonObject

slowly = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def changes(pair: Pair, world: World) -> list[int]:
    """The candidate times at which the membership did change."""
    instants = [pair["now_ms"], *candidate_times(pair["rule"], world, pair["now_ms"], pair["until_ms"])]
    memberships = [member(pair["rule"], world, each) for each in instants]
    return [
        later for later, (before, after) in zip(instants[1:], pairwise(memberships), strict=True) if before != after
    ]


def test_generated_rules_are_true_about_half_of_the_time_and_often_move_by_themselves() -> None:
    true = moving = 0
    generated = list(generate.pairs(0, 1000))
    for pair in generated:
        world = world_of(pair)
        true += member(pair["rule"], world, pair["now_ms"])
        moving += bool(changes(pair, world))
    assert 0.4 <= true / len(generated) <= 0.6
    assert moving / len(generated) >= 0.15


def test_generated_pairs_are_valid_and_the_same_every_time() -> None:
    for number, pair in enumerate(generate.pairs(10_000, 500), start=10_000):
        assert_valid(pair)
        assert json.loads(json.dumps(pair)) == pair == generate.pair(number)
        arrivals = [event["received_ms"] for event in pair["events"]]
        assert arrivals == sorted(arrivals)
        assert all(event["time_ms"] <= event["received_ms"] <= pair["now_ms"] for event in pair["events"])
        assert len(pair["events"]) <= 2 * 24


def assert_valid(pair: Pair) -> None:
    assert problems(pair["rule"], catalog_of(pair)) == set()
    for segment in pair["segments"].values():
        assert isinstance(segment, bool) or problems(segment, catalog_of(pair)) == set()
    for definition in pair["computed_traits"]:
        assert computed_trait_problems(definition) == set()


@pytest.mark.parametrize(
    ("feature", "sign"),
    [
        ("measures", '"measure"'),
        ("absence", '"absent": true'),
        ("sequences", '"sequence"'),
        ("regexes", '"matches"'),
        ("moving_dates", '"within_last"'),
        ("dates", '"before"'),
        ("lists", '"list"'),
        ("buckets", '"bucket"'),
        ("segments", '"segment"'),
        ("computed", '"computed.'),
        ("pages", '"type": "page"'),
        ("decimals", '{"sum":'),
        ("other_profiles", '"anonymous_id"'),
    ],
)
def test_features_can_be_switched_off(feature: str, sign: str) -> None:
    seen = [sign in json.dumps(pair) for pair in generate.pairs(0, 400)]
    assert any(seen)
    rest = {"absence": False} if feature == "sequences" else {"computed": False} if feature == "measures" else {}
    without = Features(**{feature: False, **rest})
    if feature == "pages":
        assert not any(sign in json.dumps([pair["rule"], pair["segments"]]) for pair in generate.pairs(0, 400, without))
    else:
        assert not any(sign in json.dumps(pair) for pair in generate.pairs(0, 400, without))


def test_events_later_than_now_can_be_switched_on() -> None:
    ahead = [
        event["time_ms"] > event["received_ms"]
        for pair in generate.pairs(0, 300, Features(later_than_now=True))
        for event in pair["events"]
    ]
    assert any(ahead)


def test_a_negative_number_of_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 pairs"):
        list(generate.pairs(0, -1))


@slowly
@given(st.data())
def test_nothing_changes_between_candidate_times(data: st.DataObject) -> None:
    pair = data.draw(strategies.pairs(Features(later_than_now=True)))
    world = world_of(pair)
    instant_ms = data.draw(strategies.instants_of(pair))
    before = [
        each for each in candidate_times(pair["rule"], world, pair["now_ms"], pair["until_ms"]) if each <= instant_ms
    ]
    last_ms = before[-1] if before else pair["now_ms"]
    assert member(pair["rule"], world, instant_ms) == member(pair["rule"], world, last_ms)


@slowly
@given(st.data())
def test_order_of_arrival_never_matters(data: st.DataObject) -> None:
    pair = data.draw(strategies.pairs())
    other = data.draw(strategies.disturbances(pair))
    for instant_ms in (pair["now_ms"], data.draw(strategies.instants_of(pair)), pair["until_ms"]):
        assert member(pair["rule"], world_of(pair), instant_ms) == member(pair["rule"], world_of(other), instant_ms)


def test_order_of_arrival_never_matters_many_times() -> None:
    for number, pair in enumerate(generate.pairs(20_000, 500)):
        other = world_of(generate.disturbed(pair, SeededChoices(number)))
        for instant_ms in (pair["now_ms"], pair["until_ms"]):
            assert member(pair["rule"], world_of(pair), instant_ms) == member(pair["rule"], other, instant_ms)


@slowly
@given(strategies.rules(Features(lists=False, segments=False, computed=False)))
def test_rules_that_refer_to_nothing(rule: JsonObject) -> None:
    world = World("u1", ())
    assert not member(rule, world, 0)


@slowly
@given(strategies.broken_rules())
def test_a_rule_without_problems_has_a_membership(pair: Pair) -> None:
    assert_broken_rule_is_refused_or_runs(pair)


def test_a_rule_without_problems_has_a_membership_many_times() -> None:
    refused = sum(assert_broken_rule_is_refused_or_runs(generate.broken_rule(number)) for number in range(3000))
    assert 0.6 <= refused / 3000 <= 0.95


def assert_broken_rule_is_refused_or_runs(pair: Pair) -> bool:
    found = problems(pair["rule"], catalog_of(pair))
    if not found:
        pair = {**pair, "events": generate.pair(7)["events"]}
        member(pair["rule"], world_of(pair), pair["now_ms"])
    return bool(found)


def test_sequences_against_every_permutation() -> None:
    tried = happened = 0
    for pair in generate.pairs(30_000, 4000, Features(copies=False)):
        rule = pair["rule"]
        if "sequence" not in rule or len(pair["events"]) > 9:
            continue
        world = world_of(pair)
        found = member(rule, world, pair["now_ms"])
        assert found == by_permutation(rule, world, pair["now_ms"])
        tried, happened = tried + 1, happened + found
    assert tried >= 200
    assert 0.3 <= happened / tried <= 0.7


def by_permutation(rule: JsonObject, world: World, now_ms: int) -> bool:
    """The contract's sentence on sequences, word for word."""
    *_, last = steps = rule["sequence"]
    present = [each for each in steps if not each.get("absent")]
    events = counting(world, now_ms)
    for chosen in permutations(
        [each for each in events if in_window(each.time_ms, now_ms, rule["within"])], len(present)
    ):
        if not all(matches(step, event) for step, event in zip(present, chosen, strict=True)):
            continue
        gaps_ms = [later.time_ms - earlier.time_ms for earlier, later in pairwise(chosen)]
        longest_ms = [duration_ms(step["within"]) if "within" in step else None for step in present[1:]]
        if not all(gap >= 0 and (most is None or gap <= most) for gap, most in zip(gaps_ms, longest_ms, strict=True)):
            continue
        if not last.get("absent"):
            return True
        deadline_ms = chosen[-1].time_ms + duration_ms(last["within"])
        came = [each for each in events if matches(last, each) and chosen[-1].time_ms < each.time_ms <= deadline_ms]
        if deadline_ms <= now_ms and not came:
            return True
    return False
