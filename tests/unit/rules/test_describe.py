"""A rule as a sentence: golden ones, and what must hold of all."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings

from audience.rules import parse_rule
from audience.rules.describe import describe
from audience.rules.references import nodes_of
from audience.rules.tree import EventNode, Node, Sequence
from tests import generate, strategies
from tests.conformance.cases import MembershipCase, load
from tests.conformance.yaml_json import read
from tests.engine_stream import REGEX
from tests.oracle.world import JsonObject

SENTENCES = read(Path(__file__).parent / "sentences.yaml")
CASES, _ = load()
LONGEST_PART = 1_500
"""Characters for a node, a step or a test: eight values of 60 characters, three deep at the very most."""


def parsed(rule: JsonObject) -> Node:
    return parse_rule(rule, regex=REGEX)


@pytest.mark.parametrize("golden", SENTENCES)
def test_golden_sentences(golden: JsonObject) -> None:
    assert describe(parsed(golden["rule"])) == golden["says"]


def test_there_are_enough_of_them_and_none_says_the_same_of_another_rule() -> None:
    assert len(SENTENCES) >= 40
    by_sentence: dict[str, set[str]] = {}
    for case in SENTENCES:
        by_sentence.setdefault(case["says"], set()).add(repr(parsed(case["rule"])))
    alike = [says for says, rules in by_sentence.items() if len(rules) > 1]
    # what `not` says of two may be the same as what a bound or an operator says
    assert set(alike) <= {
        "People who did “Order Completed” at least once in the last 7 days.",
        "People whose “plan” is set.",
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rules_of_the_conformance_cases(case: MembershipCase) -> None:
    assert_readable(case.rule)


def test_generated_rules_many_times() -> None:
    for pair in generate.pairs(0, 1_000):
        assert_readable(pair["rule"])


@settings(deadline=None, max_examples=100)
@given(strategies.rules())
def test_generated_rules(rule: JsonObject) -> None:
    assert_readable(rule)


def assert_readable(rule: JsonObject) -> None:
    node = parsed(rule)
    sentence = describe(node)
    assert sentence == describe(parsed(rule))
    assert sentence.startswith("People ")
    assert sentence.endswith(".")
    assert len(sentence) <= LONGEST_PART * parts_of(node)
    ours = re.sub("“[^”]*”", "“”", sentence)
    assert re.search(r'[{}\[\]"_\n<>]|: |None|True|False', ours) is None
    assert ours.count("(") == ours.count(")")
    assert "  " not in ours


def parts_of(rule: Node) -> int:
    found = 0
    for node in nodes_of(rule):
        found += 1
        if isinstance(node, EventNode):
            found += len(node.pattern.where)
        elif isinstance(node, Sequence):
            steps = [*node.steps, *([node.absent] if node.absent else [])]
            found += sum(1 + len(step.pattern.where) for step in steps)
    return found


def test_long_things_are_cut() -> None:
    long = {
        "event": "x" * 10_000,
        "where": [{"property": "p" * 5_000, "op": "in", "value": ["v" * 900] * 1_000}] * 300,
    }
    assert len(describe(parsed(long))) < 8 * 8 * 100
    deep: object = "x"
    for _ in range(32):
        deep = [{"k": deep}, *"12345678"]
    assert len(describe(parsed({"trait": "a", "op": "eq", "value": deep}))) < LONGEST_PART


def test_dates_beyond_the_calendar_have_words() -> None:
    begins = {"trait": "a", "op": "after", "value": "0001-01-01T00:00:00+23:59"}
    ends = {"trait": "a", "op": "before", "value": "9999-12-31T23:59:59-23:59"}
    assert describe(parsed(begins)) == "People whose “a” is after the beginning of time."
    assert describe(parsed(ends)) == "People whose “a” is before the end of time."
