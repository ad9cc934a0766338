"""Regular expressions: RE2's, mapped errors, bounded time."""

import time

import pytest
import re2

from audience.adapters.regex import BadPattern, compile_regex
from audience.rules import RuleInvalid, parse_rule


def test_it_is_what_rules_want() -> None:
    assert compile_regex("b+").search("abbc")
    assert compile_regex("b+").search("ac") is None
    parse_rule({"trait": "a", "op": "matches", "value": "b+"}, regex=compile_regex)
    with pytest.raises(RuleInvalid, match="bad_regex"):
        parse_rule({"trait": "a", "op": "matches", "value": "("}, regex=compile_regex)


@pytest.mark.parametrize(
    ("pattern", "text"), [("(?i)É", "é"), ("^a.c$", "a\u0000c"), ("😀", "x😀y"), (r"\d{3}", "a123")]
)
def test_matches(pattern: str, text: str) -> None:
    assert compile_regex(pattern).search(text)


@pytest.mark.parametrize("pattern", ["(", "a{1001}", r"(a)\1", "(?=a)", "(a{1000}){1000}", "[", "\ud800", "\\"])
def test_what_re2_refuses_is_a_value_error_with_a_reason(pattern: str) -> None:
    with pytest.raises(BadPattern) as refused:
        compile_regex(pattern)
    assert str(refused.value)
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_no_pattern_blows_up(pattern: str) -> None:
    compiled = compile_regex(pattern)
    started_s = time.process_time()
    compiled.search("a" * 10_000 + "!")
    assert time.process_time() - started_s < 0.5


def test_a_pattern_whose_program_would_be_large_is_refused() -> None:
    with pytest.raises(BadPattern):
        compile_regex(r"(\pL{100}){8}" * 3)


@pytest.mark.parametrize("pattern", ["(a)(b)?", "(?P<x>a+)-(?P<y>b+)?", "((a|b)+)c$", "^(a|ab)(c|bcd)$", "(?i)(É)"])
def test_groups_match_as_they_do_where_they_are_captured(pattern: str) -> None:
    captures = re2.compile(pattern)
    for text in ("", "a", "ab", "a-", "xa-b", "abac", "abcd", "ac", "abc", "É", "é", "b", "c\n"):
        assert (compile_regex(pattern).search(text) is None) == (captures.search(text) is None)
