"""Patterns that make backtracking engines take for ever. RE2 takes time linear in the text, or refuses the pattern.

Held by how the time grows and not by how long it takes: a text sixteen times as long may take a hundred times as long
(a noisy machine), while quadratic time would be 256 times, and what backtracking takes has no name.
"""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from audience.adapters.regex import compile_regex
from audience.rules import Regex, RuleInvalid, parse_rule
from local.settings import ROOT

PATTERNS = (Path(__file__).parent / "catastrophic.txt").read_text(encoding="utf-8").splitlines()
SHORT = 1_000
LONGER = 16
TRIES = 3
MOST_GROWTH = 100

REFUSED = {
    "a lookahead": "(?=a)b",
    "a negative lookahead": "(?!a)b",
    "a lookbehind": "(?<=a)b",
    "a negative lookbehind": "(?<!a)b",
    "a back-reference": r"(a+)\1",
    "a named back-reference": "(?P<x>a+)(?P=x)",
    "an atomic group": "(?>a+)b",
    "a possessive quantifier": "a++b",
    "a condition": "(a)?(?(1)b|c)",
    "recursion": "(a(?R)?b)",
    "a repetition of more than a thousand": "a{1001}",
    "repetitions that multiply": "((a{100}){100}){100}",
    "repetitions within repetitions": "(a{0,30}){0,30}b",
    "a repetition of many": "a{700}",
    "a program that would be large": r"((\pL{100}){50}){2}",
    "a group that is not closed": "(a",
    "a class that is not closed": "[a",
    "nothing to repeat": "*a",
    "a range that is out of order": "[z-a]",
    "an escape that is none": r"\8",
    "half of a surrogate pair": "\ud800",
}


def texts(length: int) -> list[str]:
    """What keeps a backtracking engine busy: nearly matches, which fail at their end."""
    units = ("a", "ab", "x", " ", "1", "a@", "a.", '"', "<a>", "1,", "01", "=")
    return [(unit * length)[:length] + "!" for unit in units]


def least_s(pattern: Regex, subjects: list[str]) -> float:
    """The least processor time of some tries."""
    took = []
    for _ in range(TRIES):
        began = time.process_time()
        for subject in subjects:
            pattern.search(subject)
        took.append(time.process_time() - began)
    return min(took)


def test_there_are_enough_of_them() -> None:
    assert len(set(PATTERNS)) == len(PATTERNS) >= 30


@pytest.mark.parametrize("pattern", PATTERNS)
def test_time_grows_with_the_text_and_no_faster(pattern: str) -> None:
    parse_rule({"trait": "a", "op": "matches", "value": pattern}, regex=compile_regex)
    compiled = compile_regex(pattern)
    least_s(compiled, texts(SHORT))  # it builds its automaton as it goes
    short_s = max(least_s(compiled, texts(SHORT)), 1e-5)
    assert least_s(compiled, texts(SHORT * LONGER)) <= MOST_GROWTH * short_s


BACKTRACKING = "import re, sys; re.search(sys.argv[1], 'a' * 64 + '!')"


def test_the_patterns_are_catastrophic_elsewhere() -> None:
    """The first of them takes the standard library longer than anybody waits: what is tested above can fail."""
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", BACKTRACKING, PATTERNS[0]], cwd=ROOT, timeout=2, check=False
        )


@pytest.mark.parametrize("why", REFUSED)
def test_what_re2_refuses_is_a_bad_regex(why: str) -> None:
    trait = {"trait": "a", "op": "matches", "value": REFUSED[why]}
    event = {"event": "A", "where": [{"property": "a", "op": "matches", "value": REFUSED[why]}]}
    with pytest.raises(RuleInvalid) as refused:
        parse_rule({"all": [trait, event]}, regex=compile_regex)
    found = [(error.code, error.path) for error in refused.value.errors]
    assert found == [("bad_regex", "/all/0/value"), ("bad_regex", "/all/1/where/0/value")]
    assert all(error.message for error in refused.value.errors)
