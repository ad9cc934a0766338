"""What authors read when a rule is refused, for every error of the conformance cases: golden, in messages.yaml."""

from functools import partial
from pathlib import Path

import pytest

from audience.rules import References, RuleInvalid, parse_computed_trait, parse_rule
from audience.rules.references import segments_of
from tests.conformance.cases import ErrorCase, load
from tests.conformance.yaml_json import read
from tests.engine_stream import REGEX

MESSAGES = read(Path(__file__).parent / "messages.yaml")
_, CASES = load()
REFUSED = [case for case in CASES if case.errors]


def messages_of(case: ErrorCase) -> list[str]:
    """The errors of a case as the exception lists them: in the order of the rule's text."""
    live = {key: segment.rule for key, segment in case.segments.items() if segment.status in {"live", "paused"}}
    references = References(
        key=case.key,
        segments={key: segments_of(parse_rule(rule, regex=REGEX)) for key, rule in live.items()},
        lists=case.known_lists,
        computed_traits=frozenset(case.computed_traits),
    )
    of_trait = partial(parse_computed_trait, case.subject, regex=REGEX)
    of_rule = partial(parse_rule, case.subject, regex=REGEX, references=references)
    parse = of_trait if case.kind == "computed_trait" else of_rule
    with pytest.raises(RuleInvalid) as refused:
        parse()
    errors = refused.value.errors
    assert str(refused.value) == "; ".join(f"{each.path or '/'}: {each.message} ({each.code})" for each in errors)
    return [f"{each.path or '/'}: {each.message}" for each in errors]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_messages(case: ErrorCase) -> None:
    assert messages_of(case) == MESSAGES[case.name]


def test_no_message_is_of_a_case_that_has_gone() -> None:
    assert MESSAGES.keys() == {case.name for case in REFUSED}
