"""Every conformance case through the engine: streamed event by event, with the state as bytes in between."""

from collections.abc import Callable

import pytest

from audience.rules import RuleInvalid, parse_computed_trait, parse_rule
from audience.rules.references import References, segments_of
from tests.backfilled_stream import BackfilledStream
from tests.conformance.cases import ErrorCase, MembershipCase, load
from tests.engine_stream import REGEX, Stream

ALL_MEMBERSHIPS, ERRORS = load()
MEMBERSHIPS = [case for case in ALL_MEMBERSHIPS if all(event.time_ms <= event.received_ms for event in case.events)]
"""Ingest never lets an event be later than its receipt; those that are can be had from the oracle alone."""

BACKFILLS = 6
"""How many ways of being created in the middle of the stream each case is tried with."""


@pytest.mark.parametrize("case", MEMBERSHIPS, ids=lambda case: case.name)
def test_membership(case: MembershipCase) -> None:
    stream = Stream.of_world(
        case.rule, case.world, paused={k for k, s in case.segments.items() if s.status == "paused"}
    )
    for check in case.checks:
        stream.to(check.now_ms)
        assert stream.member == check.member, case.says
        if check.measures:
            assert stream.value == check.value, case.says


@pytest.mark.parametrize("case", MEMBERSHIPS, ids=lambda case: case.name)
def test_membership_of_a_segment_that_is_filled_from_the_archive(case: MembershipCase) -> None:
    compared = 0
    for seed in range(BACKFILLS):
        paused = frozenset(key for key, segment in case.segments.items() if segment.status == "paused")
        stream = BackfilledStream(case.rule, case.world, paused, seed)
        for check in case.checks:
            stream.to(check.now_ms)
            if stream.due:
                compared += 1
                assert stream.member == check.member, f"{case.says}: {stream.plan}"
                if check.measures:
                    assert stream.value == check.value, f"{case.says}: {stream.plan}"
    assert compared, "the last check comes when everything has been filled"


def test_nearly_all_cases_run() -> None:
    assert len(ALL_MEMBERSHIPS) - len(MEMBERSHIPS) <= 15


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.name)
def test_errors(case: ErrorCase) -> None:
    found = _errors(lambda: _parse(case))
    assert found == {(problem.code, problem.path) for problem in case.errors}, case.says


def _parse(case: ErrorCase) -> None:
    if case.kind == "computed_trait":
        parse_computed_trait(case.subject, regex=REGEX)
        return
    live = {key: segment for key, segment in case.segments.items() if segment.status in {"live", "paused"}}
    references = References(
        key=case.key,
        segments={key: segments_of(parse_rule(segment.rule, regex=REGEX)) for key, segment in live.items()},
        lists=case.known_lists,
        computed_traits=frozenset(case.computed_traits),
    )
    parse_rule(case.subject, regex=REGEX, references=references)


def _errors(parse: Callable[[], None]) -> set[tuple[str, str]]:
    try:
        parse()
    except RuleInvalid as invalid:
        return {(error.code, error.path) for error in invalid.errors}
    return set()
