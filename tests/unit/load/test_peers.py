"""The peers' rules in plain Python give the oracle's answers: otherwise a comparison of speeds says nothing."""

import time
from typing import Any

import pytest

from load_tests.engine.workload import rules
from load_tests.peers.plain_rules import Rules, compiled
from load_tests.peers.runner import Turn, differences
from load_tests.peers.work import Work, markers, renamed, work


class State:
    """The state of one key, in memory."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value


@pytest.fixture(scope="module")
def given() -> Work:
    return work(120, 3_000, 60, 30)


def test_plain_python_agrees_with_the_oracle(given: Work) -> None:
    service = Rules(given.rules)
    states: dict[str, State] = {}
    members: dict[str, set[str]] = {}
    now_ms = time.time_ns() // 1_000_000
    for event in given.events:
        profile = event["profile_id"]
        changes = service.on_event(event, states.setdefault(profile, State()), now_ms)
        for key, member in changes:
            (set.add if member else set.discard)(members.setdefault(profile, set()), key)
    assert len(given.oracle) == 30
    assert any(given.oracle.values())
    for profile, wanted in given.oracle.items():
        assert members.get(profile, set()) == wanted, profile


def test_an_unknown_node_is_refused() -> None:
    with pytest.raises(ValueError, match="not among"):
        compiled({"list": "press"})
    with pytest.raises(ValueError, match="not among"):
        compiled({"trait": "a", "op": "matches", "value": "x"})
    assert all(compiled(rule) for rule in rules(500, 1))


def test_a_run_has_profiles_of_its_own(given: Work) -> None:
    first, second = ({key for key, _ in renamed(given.events, run)} for run in ("a", "b"))
    assert not first & second
    assert len(first) == len(given.profiles)
    assert len(markers("a", "last")) == 24


def test_a_difference_is_found(given: Work) -> None:
    right = {profile: given.oracle.get(profile, frozenset()) for profile in given.profiles}
    wrong = {**right, given.profiles[0]: frozenset({"other"})}
    assert differences([Turn("a", 1, 1.0, right), Turn("b", 1, 1.0, right)], given) == []
    [*_, found] = differences([Turn("a", 1, 1.0, right), Turn("b", 1, 1.0, wrong)], given)
    assert found == f"b: {given.profiles[0]} differs from a"
