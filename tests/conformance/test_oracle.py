"""Every conformance case through the oracle, and the cases held against themselves."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conformance.cases import FOLDER, CaseError, ErrorCase, MembershipCase, instant_ms, load, load_file
from tests.oracle import Problem, candidate_times, computed_trait_problems, member, problems, value
from tests.oracle.check import CODES

MEMBERSHIPS, ERRORS = load()
ALL: list[MembershipCase | ErrorCase] = [*MEMBERSHIPS, *ERRORS]


def name_of(case: MembershipCase | ErrorCase) -> str:
    return case.name


@pytest.mark.parametrize("case", MEMBERSHIPS, ids=name_of)
def test_membership(case: MembershipCase) -> None:
    for check in case.checks:
        assert member(case.rule, case.world, check.now_ms) == check.member, case.says
        if check.measures:
            measured = value(case.rule, case.world, check.now_ms)
            assert measured == check.value, case.says
            assert (measured is None) == (check.value is None), case.says


@pytest.mark.parametrize("case", MEMBERSHIPS, ids=name_of)
def test_rules_of_memberships_are_accepted(case: MembershipCase) -> None:
    assert problems(case.rule, case.catalog) == set()
    for segment in case.segments.values():
        assert problems(segment.rule, case.catalog) == set()
    for definition in case.computed_traits.values():
        assert computed_trait_problems(definition) == set()


@pytest.mark.parametrize("case", ERRORS, ids=name_of)
def test_errors(case: ErrorCase) -> None:
    found = problems(case.subject, case.catalog) if case.kind == "rule" else computed_trait_problems(case.subject)
    assert found == case.errors, case.says


@pytest.mark.parametrize("case", [each for each in MEMBERSHIPS if len(each.checks) > 1], ids=name_of)
def test_nothing_changes_between_candidate_times(case: MembershipCase) -> None:
    from_ms, to_ms = case.checks[0].now_ms, case.checks[-1].now_ms
    instants = [from_ms, *candidate_times(case.rule, case.world, from_ms, to_ms), to_ms + 1]
    for earlier_ms, later_ms in pairwise(instants):
        at_once, at_last = (member(case.rule, case.world, each) for each in (earlier_ms, later_ms - 1))
        assert at_once == at_last, f"changed between {earlier_ms} and {later_ms - 1}"
    for earlier, later in pairwise(case.checks):
        if earlier.member != later.member:
            assert any(earlier.now_ms < each <= later.now_ms for each in instants), case.name


def test_choices_are_written_down() -> None:
    text = (FOLDER / "CHOICES.md").read_text(encoding="utf-8")
    listed = {
        (choice, name)
        for choice, names in re.findall(r"^- (.*) → (.*)$", text, re.MULTILINE)
        for name in names.split(", ")
    }
    assert listed == {
        (case.says.removeprefix("choice: "), case.name) for case in ALL if case.says.startswith("choice: ")
    }


def test_there_are_enough_cases() -> None:
    assert len(ALL) >= 600
    assert {error.code for case in ERRORS for error in case.errors} == CODES


LATE_COPY = """
- {name: a, says: b, rule: {event: A}, member: true,
   events: [{at: -2d, message_id: m, event: A}, {at: 0, message_id: m, event: A}]}
""".strip()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("- {name: a, says: b, rule: {event: A}}", "member"),
        ("- {name: a, says: b, rule: {event: A}, member: yes}", "neither true nor false"),
        ("- {name: a, says: b, rule: {event: A}, member: true, colour: red}", "unknown keys"),
        ("- {name: a, rule: {event: A}, member: true}", "`says` is no text"),
        ("- {name: a, says: b, rule: {event: A}, rule: {event: B}, member: true}", "given twice"),
        ("- {name: a, says: b, rule: {list: l}, value: 1, member: true}", "for a root event node"),
        ("- {name: a, says: b, rule: {event: A}, member: true, then: [{now: 0, member: true}]}", "do not go up"),
        ("- {name: a, says: b, rule: {event: A}, member: true, events: [{at: 1d, event: A}]}", "not an instant"),
        ("- {name: a, says: b, rule: {event: A}, member: true, events: [{at: -1d}]}", "a track's name"),
        ("- {name: a, says: b, rule: {event: A}, member: true, events: [{at: -1d, type: call}]}", "no type of event"),
        (
            "- {name: a, says: b, rule: {event: A}, member: true, events: [{at: -1d, received: -2d, event: A}]}",
            "before",
        ),
        (
            "- {name: a, says: b, rule: {event: A}, member: true, events: [{at: -1d, received: +1d, event: A}]}",
            "after now",
        ),
        ("- {name: a, says: b, rule: {event: A}, member: true, lists: [l], known_lists: []}", "known_lists"),
        (LATE_COPY, "may count again"),
        ("- {name: a, says: b, errors: []}", "either a rule or a computed_trait"),
        ("- {name: a, says: b, rule: {}, errors: [{code: bad, path: ''}]}", "no code of the contract"),
        ("- {name: a, says: b, rule: {}, errors: [{code: empty, path: /a}, {code: empty, path: /a}]}", "listed twice"),
        ("- {name: a, says: b, rule: !python/name:os.system , errors: []}", "could not determine a constructor"),
        ("{}", "not a list"),
    ],
)
def test_the_loader_is_clear_about_what_it_refuses(text: str, wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CaseError, match=re.escape(wrong)) as raised:
        list(load_file(path))
    assert str(raised.value).startswith("cases.yaml: ")


def test_the_loader_refuses_a_name_given_twice(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("- {name: a, says: b, rule: {}, errors: []}", encoding="utf-8")
    with pytest.raises(CaseError, match=re.escape("b.yaml: 'a' is in a.yaml already")):
        load(tmp_path)


def test_the_loader_reads_yaml_as_json(tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text(
        "- name: a\n  says: b\n  rule: [on, yes, 12:30, 2026-03-01, 0x10, 1_000, .5, ~, null, 5, 5.0, 1e3, -0,"
        " !range 3, !repeat {times: 2, of: x}, !nest {times: 2, key: not, of: 1}, !nest {times: 2, key: all, of: 1},"
        " !text {times: 2, of: ab}]\n  errors: []\n",
        encoding="utf-8",
    )
    (case,) = load_file(path)
    assert isinstance(case, ErrorCase)
    assert case.errors == frozenset[Problem]()
    assert case.subject == [
        *("on", "yes", "12:30", "2026-03-01", "0x10", "1_000", ".5", "~", None, 5, 5.0, 1000.0, 0),
        *([0, 1, 2], ["x", "x"], {"not": {"not": 1}}, {"all": [{"all": [1]}]}, "abab"),
    ]
    assert [type(each) for each in case.subject[9:12]] == [int, float, float]


@pytest.mark.parametrize(
    ("text", "offset_ms"),
    [
        (0, 0),
        ("+1ms", 1),
        ("-30d+1ms", -30 * 86_400_000 + 1),
        ("+1h30m", 5_400_000),
        ("-1h30m", -5_400_000),
        ("-1h+30m-1s", -1_801_000),
        ("+2w3d4h5m6s7ms", 17 * 86_400_000 + 4 * 3_600_000 + 5 * 60_000 + 6_000 + 7),
        ("1970-01-01T00:00:01.5Z", 1_500 - 10**12),
    ],
)
def test_instants(text: str | int, offset_ms: int) -> None:
    assert instant_ms(text, 10**12) == 10**12 + offset_ms


@pytest.mark.parametrize("text", ["", "1h", "+h", "+1", "+1h 2m", "+1.5h", "now", 5, None, True, "2026-13-01"])
def test_instants_that_are_none(text: object) -> None:
    with pytest.raises(ValueError, match="not an instant"):
        instant_ms(text, 10**12)
