"""One form for rules that mean the same; its hash names leaves in every stored state, so it may never change."""

import json
import subprocess
import sys
from itertools import combinations

import pytest

from audience.engine.program import Program
from audience.rules import canonical, parse_computed_trait, parse_rule
from audience.rules.tree import Node
from local.settings import ROOT
from tests import generate
from tests.conformance.cases import load
from tests.engine_stream import REGEX
from tests.oracle.world import JsonObject

CASES, _ = load()

ALIKE: list[list[JsonObject]] = [
    [
        {"event": "A"},
        {"event": "A", "type": "track"},
        {"event": "A", "where": []},
        {"event": "A", "measure": "count"},
        {"event": "A", "is": {"gte": 1}},
        {"is": {"gte": 1.0}, "measure": "count", "where": [], "type": "track", "event": "A"},
    ],
    [{"event": "A", "within": "7d"}, {"event": "A", "within": "168h"}, {"event": "A", "within": "1w"}],
    [{"event": "A", "is": {"gte": 1, "lt": 5}}, {"event": "A", "is": {"lt": 5.0, "gte": 1}}],
    [
        {"event": "A", "where": [{"property": "a", "op": "exists"}, {"context": "b", "op": "eq", "value": 5}]},
        {"event": "A", "where": [{"context": "b", "op": "eq", "value": 5.0}, {"property": "a", "op": "exists"}]},
        {
            "event": "A",
            "where": [
                {"property": "a", "op": "exists"},
                {"property": "a", "op": "exists"},
                {"context": "b", "op": "eq", "value": 5},
            ],
        },
    ],
    [{"all": [{"list": "a"}, {"list": "b"}]}, {"all": [{"list": "b"}, {"list": "a"}, {"list": "a"}]}],
    [{"any": [{"list": "a"}, {"list": "b"}]}, {"any": [{"list": "b"}, {"list": "a"}]}],
    [
        {"trait": "d", "op": "before", "value": "2026-03-01"},
        {"trait": "d", "op": "before", "value": "2026-03-01T01:00:00.0009+01:00"},
    ],
    [
        {"trait": "a", "op": "eq", "value": {"x": [1, True, None], "y": "1"}},
        {"trait": "a", "op": "eq", "value": {"y": "1", "x": [1.0, True, None]}},
    ],
    [
        {"sequence": [{"event": "A"}, {"event": "B", "within": "60s"}], "within": "24h"},
        {"sequence": [{"event": "A", "type": "track"}, {"event": "B", "within": "1m", "where": []}], "within": "1d"},
    ],
    [
        {"bucket": {"salt": "x", "from": 0, "to": 2000}},
        {"bucket": {"salt": "x", "from": 0.0, "to": 2000.0}},
    ],
]

UNLIKE: list[JsonObject] = [
    {"event": "*"},
    {"event": ""},
    {"event": "A", "type": "page"},
    {"event": "A", "type": "screen"},
    {"event": "A", "within": "1h"},
    {"event": "A", "is": {"gt": 1}},
    {"event": "A", "measure": {"sum": "a"}},
    {"event": "A", "measure": {"avg": "a"}},
    {"event": "A", "measure": {"sum": "a.b"}},
    {"event": "A", "where": [{"property": "a", "op": "eq", "value": 1}]},
    {"event": "A", "where": [{"property": "a", "op": "eq", "value": True}]},
    {"event": "A", "where": [{"property": "a", "op": "eq", "value": "1"}]},
    {"event": "A", "where": [{"context": "a", "op": "eq", "value": 1}]},
    {"trait": "a", "op": "in", "value": ["x"]},
    {"trait": "a", "op": "eq", "value": ["x"]},
    {"trait": "a", "op": "exists"},
    {"trait": "a", "op": "absent"},
    {"sequence": [{"event": "A"}, {"event": "B"}], "within": "24h"},
    {"sequence": [{"event": "B"}, {"event": "A"}], "within": "24h"},
    {"sequence": [{"event": "A"}, {"event": "B", "within": "24h"}], "within": "24h"},
    {"sequence": [{"event": "A"}, {"event": "B", "absent": True, "within": "24h"}], "within": "24h"},
    {"sequence": [{"event": "A"}], "within": "24h"},
    {"segment": "a"},
    {"all": [{"list": "a"}]},
    {"any": [{"list": "a"}]},
    {"not": {"list": "a"}},
    {"bucket": {"salt": "x", "from": 0, "to": 2001}},
    {"bucket": {"salt": "y", "from": 0, "to": 2000}},
]


def parsed(rule: JsonObject) -> Node:
    return parse_rule(rule, regex=REGEX)


def text(rule: JsonObject) -> str:
    return canonical.text_of(canonical.of_node(parsed(rule)))


def digest(rule: JsonObject) -> int:
    return canonical.hash_of(canonical.of_node(parsed(rule)))


@pytest.mark.parametrize("rules", ALIKE)
def test_rules_that_mean_the_same_have_one_form_and_share_every_leaf(rules: list[JsonObject]) -> None:
    assert len({text(rule) for rule in rules}) == 1
    program = Program(REGEX)
    sizes = set()
    for number, rule in enumerate(rules):
        program.put(f"s{number}", parsed(rule), version=1, revision=number)
        sizes.add(
            (
                len(program.compiled.leaves),
                len(program.compiled.sequences),
                len(program.compiled.trails),
                len(program.compiled.series),
            )
        )
    assert len(sizes) == 1


def test_rules_that_do_not_mean_the_same_have_forms_of_their_own() -> None:
    rules = [*UNLIKE, *(rules[0] for rules in ALIKE)]
    for one, other in combinations(rules, 2):
        assert text(one) != text(other)
        assert digest(one) != digest(other)


def test_bounds_and_measures_of_one_window_share_their_state() -> None:
    program = Program(REGEX)
    rules: list[JsonObject] = [
        {"event": "A", "within": "30d", "measure": {"sum": "n"}, "is": {"gte": 5}},
        {"event": "A", "within": "30d", "measure": {"sum": "n"}, "is": {"lt": 9}},
        {"event": "A", "within": "30d", "measure": {"avg": "n"}, "is": {"gt": 2}},
        {"event": "A", "within": "7d", "measure": {"sum": "n"}, "is": {"gte": 5}},
    ]
    for number, rule in enumerate(rules):
        program.put(f"s{number}", parsed(rule), version=1, revision=number)
    trait = {"key": "n30", "event": "A", "within": "30d", "measure": {"sum": "n"}}
    program.put_computed_trait(parse_computed_trait(trait, regex=REGEX), 9)
    assert (len(program.compiled.trails), len(program.compiled.series), len(program.compiled.leaves)) == (1, 1, 2)


GOLDEN: list[tuple[JsonObject, int]] = [
    ({"event": "Order Completed", "within": "30d", "is": {"gte": 2}}, 0xE74955886BE17B64),
    ({"trait": "plan", "op": "in", "value": ["pro", "team", 5, None, {"a": True}]}, 0xD3DB7B97CEDE3A60),
    (
        {"sequence": [{"event": "A"}, {"event": "B", "absent": True, "within": "1h"}], "within": "24h"},
        0xDEAACCCC9FA3DFAD,
    ),
    (
        {"all": [{"list": "été"}, {"not": {"bucket": {"salt": "x", "from": 0, "to": 5}}}, {"segment": "vip"}]},
        0xDA7D81CFE0275B7F,
    ),
]

TRAILS = [0x3281A230F1505020, 0x4F4AE8DF42F1243F, 0xF618075F91FA70B4]
SERIES = [0x6B6911F2ECE28ABA]
LEAVES = [0xDE636CF4AC44B095]
SEQUENCES = [0xDEAACCCC9FA3DFAD]


@pytest.mark.parametrize(("rule", "known"), GOLDEN)
def test_the_hash_is_what_it_always_was(rule: JsonObject, known: int) -> None:
    """Stored states are found by it: whoever changes the form needs a new version of the state."""
    assert digest(rule) == known


def test_the_ids_of_leaves_are_what_they_always_were() -> None:
    program = Program(REGEX)
    for number, (rule, _) in enumerate(GOLDEN):
        program.put(f"s{number}", parsed(rule), version=1, revision=number)
    assert sorted(program.compiled.trails) == TRAILS
    assert sorted(program.compiled.series) == SERIES
    assert sorted(program.compiled.leaves) == LEAVES
    assert sorted(program.compiled.sequences) == SEQUENCES


_HASH_ALL = """
import hashlib, json, sys
from audience.rules import canonical, parse_rule
from tests.engine_stream import REGEX
found = hashlib.sha256()
for rule in json.load(sys.stdin):
    form = canonical.of_node(parse_rule(rule, regex=REGEX))
    found.update(canonical.text_of(form).encode() + canonical.hash_of(form).to_bytes(8, "big"))
print(found.hexdigest())
"""


def test_the_form_is_the_same_in_every_process() -> None:
    rules = [case.rule for case in CASES] + [pair["rule"] for pair in generate.pairs(0, 300)]
    digests = {
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", _HASH_ALL],
            input=json.dumps(rules),
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(digests) == 1


def test_a_form_depends_on_nothing_but_the_rule() -> None:
    for pair in generate.pairs(0, 300):
        rule = pair["rule"]
        turned = json.loads(json.dumps(rule), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
        assert text(turned) == text(rule)
