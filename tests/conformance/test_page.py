"""docs/rules.md, held to what it says: through the engine and the oracle alike."""

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from audience.engine.evaluate import on_lists
from audience.rules import Limits, RuleInvalid, parse_computed_trait, parse_rule
from audience.rules.describe import describe
from audience.rules.errors import ErrorCode
from audience.rules.references import References
from audience.rules.tree import Bound, ComputedKind, Operator
from tests.conformance.page import PAGE, PROFILE_ID, START, Example, Section, code_of, examples, sections, table
from tests.engine_stream import REGEX, Stream
from tests.oracle import Event, World, member, value
from tests.oracle.evaluate import NODE_KEYS
from tests.oracle.times import date_ms
from tests.oracle.world import JsonObject

TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = {section.title: section for section in sections(TEXT)}
EXAMPLES = examples(TEXT)
ACCEPTED = [example for example in EXAMPLES if not example.errors]
REFUSED = [example for example in EXAMPLES if example.errors]
START_MS = date_ms(START) or 0
RECIPES_WANTED = 12


def name_of(example: Example) -> str:
    return example.name


def world_of(example: Example, lists: frozenset[str] = frozenset()) -> World:
    events = tuple(moment.event for moment in example.moments if moment.event is not None)
    return World(PROFILE_ID, events, dict(example.segments), lists, dict(example.computed_traits))


@pytest.mark.parametrize("example", ACCEPTED, ids=name_of)
def test_the_engine_gives_the_answers_of_the_page(example: Example) -> None:
    stream = Stream.of_world(example.rule, world_of(example))
    for moment in example.moments:
        stream.to(moment.now_ms)
        if moment.list_change is not None:
            name, on = moment.list_change
            state = stream.state
            lists = state.lists | {name} if on else state.lists - {name}
            on_lists(stream.program, state, lists, now_ms=moment.now_ms)
            stream.keep(state)
        assert stream.member == moment.member, moment
        if moment.measures:
            assert stream.value == moment.measured, moment


@pytest.mark.parametrize("example", ACCEPTED, ids=name_of)
def test_the_oracle_gives_the_answers_of_the_page(example: Example) -> None:
    lists: set[str] = set()
    for moment in example.moments:
        if moment.list_change is not None:
            name, on = moment.list_change
            (lists.add if on else lists.discard)(name)
        world = world_of(example, frozenset(lists))
        assert member(example.rule, world, moment.now_ms) == moment.member, moment
        if moment.measures:
            assert value(example.rule, world, moment.now_ms) == moment.measured, moment


@pytest.mark.parametrize("example", ACCEPTED, ids=name_of)
def test_every_rule_is_tried(example: Example) -> None:
    assert example.moments
    assert example.words
    for definition in example.computed_traits.values():
        parse_computed_trait(definition, regex=REGEX)


@pytest.mark.parametrize("example", ACCEPTED, ids=name_of)
def test_the_words_are_those_of_describe(example: Example) -> None:
    assert example.words == describe(parse_rule(example.rule, regex=REGEX))


@pytest.mark.parametrize("example", REFUSED, ids=name_of)
def test_rules_are_refused_as_the_page_says(example: Example) -> None:
    assert errors_of(example.rule) == example.errors


def errors_of(rule: JsonObject) -> set[tuple[str, str]]:
    try:
        parse_rule(rule, regex=REGEX, references=References(key="vip"))
    except RuleInvalid as invalid:
        return {(error.code, error.path) for error in invalid.errors}
    return set()


def test_every_code_has_a_row_and_its_example_is_refused_with_it() -> None:
    rows = table(SECTIONS["Refusals"], "code", "what is wrong", "for example", "path")
    assert [code_of(code) for code, *_ in rows] == list(get_args(ErrorCode))
    for code, _, example, path in rows:
        assert errors_of(json.loads(code_of(example))) == {(code_of(code), path.strip("`"))}, example


def test_the_limits_are_those_of_the_code() -> None:
    rows = table(SECTIONS["Limits"], "limit", "default", "error at")
    limits = Limits()
    assert [int(default) for _, default, _ in rows] == [
        limits.depth,
        limits.nodes,
        limits.steps,
        limits.list_values,
        limits.value_depth,
    ]


OPERATOR_ROWS = table(SECTIONS["Operators"], "operator", "for example", "true of", "false of")


@pytest.mark.parametrize("row", OPERATOR_ROWS, ids=lambda row: row[0].strip("`"))
def test_operators_are_true_and_false_of_what_the_page_says(row: list[str]) -> None:
    operator, example, *columns = row
    rule = json.loads(code_of(example))
    assert rule["op"] == code_of(operator)
    for column, wanted in zip(columns, (True, False), strict=True):
        for found in values_of(column):
            traits = {"other": 1} if found is None else {rule["trait"]: found}
            identify = Event(START_MS, START_MS, "m", type="identify", user_id=PROFILE_ID, traits=traits)
            assert_both(rule, (identify,), wanted=wanted)


def values_of(cell: str) -> list[Any]:
    """The JSON values in a cell; None for what is missing."""
    decoder = json.JSONDecoder()
    found: list[Any] = []
    rest = cell.replace("`", "")
    while rest:
        if rest.startswith("missing"):
            found.append(None)
            rest = rest.removeprefix("missing")
        else:
            each, end = decoder.raw_decode(rest)
            found.append(each)
            rest = rest[end:]
        rest = rest.removeprefix(", ")
    assert found
    return found


@pytest.mark.parametrize(
    "row", table(SECTIONS["Bounds"], "operator", "`is`", "true of", "false of"), ids=lambda row: row[0]
)
def test_bounds_are_true_and_false_of_what_the_page_says(row: list[str]) -> None:
    _, bounds, *columns = row
    rule = {"event": "A", "is": json.loads(code_of(bounds))}
    for column, wanted in zip(columns, (True, False), strict=True):
        for times in values_of(column):
            named = [("B", "m"), *(("A", f"m{number}") for number in range(times))]
            events = tuple(Event(START_MS, START_MS, key, name=name, user_id=PROFILE_ID) for name, key in named)
            assert_both(rule, events, wanted=wanted)


def assert_both(rule: JsonObject, events: tuple[Event, ...], *, wanted: bool) -> None:
    world = World(PROFILE_ID, events)
    stream = Stream.of_world(rule, world)
    stream.to(START_MS)
    assert (stream.member, member(rule, world, START_MS)) == (wanted, wanted), (rule, events)


def objects_in(found: Any) -> Iterator[JsonObject]:
    if isinstance(found, dict):
        yield found
        found = list(found.values())
    if isinstance(found, list):
        for each in found:
            yield from objects_in(each)


def test_the_page_leaves_nothing_of_the_language_out() -> None:
    rules = list(objects_in([example.rule for example in ACCEPTED]))
    rules += objects_in([list(example.computed_traits.values()) for example in ACCEPTED])
    keys = {key for each in rules for key in each}
    measures = {kind for each in rules for kind in ("count", *(each.get("measure", "")))}
    assert set(NODE_KEYS) <= keys
    assert {"absent", "where", "property", "context", "within", "type", "measure", "is"} <= keys
    assert set(get_args(ComputedKind)) <= measures
    assert set(get_args(Operator)) == {code_of(row[0]) for row in OPERATOR_ROWS}
    bounds = table(SECTIONS["Bounds"], "operator", "`is`", "true of", "false of")
    assert set(get_args(Bound)) <= {row[0].strip("`") for row in bounds}


def recipes() -> list[Section]:
    titles = [section.title for section in SECTIONS.values()]
    first = titles.index("Recipes") + 1
    following = list(SECTIONS.values())[first:]
    end = next(index for index, section in enumerate(following) if section.level == 2)
    return following[:end]


def test_there_are_recipes_and_each_is_shown_true_and_false() -> None:
    assert len(recipes()) >= RECIPES_WANTED
    for recipe in recipes():
        answers = {moment.member for each in EXAMPLES if each.section == recipe.title for moment in each.moments}
        assert answers == {True, False}, recipe.title


def test_references_lead_to_headings() -> None:
    anchors = {section.title.lower().replace(" ", "-") for section in SECTIONS.values()}
    wanted = {part.split(")")[0] for part in TEXT.split("](#")[1:]}
    assert wanted <= anchors
