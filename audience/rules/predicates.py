"""Tests as functions of one value (rules.md, "Operators of a test").

A predicate takes the value and the instant it is asked for, in Unix ms; only the time-driven operators look at that.
What an operator does not compare is false, never an error.
"""

import operator
from collections.abc import Callable
from typing import Any, Final, TypeAlias, assert_never

from audience.rules.dates import parse_date_ms
from audience.rules.reading import RegexCompiler
from audience.rules.tree import Test
from audience.rules.values import is_number, same, scalar_key

Predicate: TypeAlias = Callable[[Any, int], bool]


def predicate_of(test: Test, regex: RegexCompiler) -> Predicate:
    """The function that a test is."""
    value = test.value
    match test.op:
        case "exists":
            return lambda found, _: found is not None
        case "absent":
            return lambda found, _: found is None
        case "eq":
            return _equals(value)
        case "ne":
            equals = _equals(value)
            return lambda found, now_ms: found is not None and not equals(found, now_ms)
        case "in":
            return _one_of(value)
        case "not_in":
            one_of = _one_of(value)
            return lambda found, now_ms: found is not None and not one_of(found, now_ms)
        case "gt" | "gte" | "lt" | "lte":
            return _ordered(test.op, value)
        case "contains":
            return _contains(value)
        case "starts_with":
            return lambda found, _: type(found) is str and found.startswith(value)
        case "ends_with":
            return lambda found, _: type(found) is str and found.endswith(value)
        case "matches":
            search = regex(value).search
            return lambda found, _: type(found) is str and search(found) is not None
        case "before":
            return lambda found, _: (date_ms := _date_ms(found)) is not None and date_ms < value
        case "after":
            return lambda found, _: (date_ms := _date_ms(found)) is not None and date_ms > value
        case "within_last":
            return lambda found, now_ms: (
                (date_ms := _date_ms(found)) is not None and now_ms - value <= date_ms <= now_ms
            )
        case "within_next":
            return lambda found, now_ms: (
                (date_ms := _date_ms(found)) is not None and now_ms <= date_ms <= now_ms + value
            )
        case _:
            assert_never(test.op)


def next_flip_ms(test: Test, found: object, now_ms: int) -> int | None:
    """The first instant after `now_ms` at which time alone changes a time-driven test; None where none does."""
    date_ms = _date_ms(found)
    if date_ms is None:
        return None
    # Both ends of [T-D, T] and of [T, T+D] are included, so a date leaves one millisecond after the last instant.
    if test.op == "within_last":
        instants = (date_ms, date_ms + test.value + 1)
    elif test.op == "within_next":
        instants = (date_ms - test.value, date_ms + 1)
    else:
        return None
    return next((instant for instant in instants if instant > now_ms), None)


def _equals(value: Any) -> Predicate:
    key = scalar_key(value)
    if type(value) is str:
        return lambda found, _: type(found) is str and found == value
    if key is None:
        return lambda found, _: same(found, value)
    return lambda found, _: scalar_key(found) == key


def _one_of(values: list[Any]) -> Predicate:
    # An `in` over null can never hold: a missing value fails every operator but `absent`.
    keys = frozenset(key for value in values if (key := scalar_key(value)) is not None)
    deep = [value for value in values if isinstance(value, list | dict)]
    if not deep:
        return lambda found, _: (key := scalar_key(found)) is not None and key in keys
    return lambda found, _: scalar_key(found) in keys or any(same(found, value) for value in deep)


def _ordered(op: str, value: Any) -> Predicate:
    compare = _COMPARE[op]
    if isinstance(value, str):
        return lambda found, _: type(found) is str and compare(found, value)
    bound = float(value)
    return lambda found, _: is_number(found) and compare(float(found), bound)


_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def _contains(value: Any) -> Predicate:
    def contains(found: Any, _: int) -> bool:
        if type(found) is str:
            return isinstance(value, str) and value in found
        return type(found) is list and any(same(item, value) for item in found)

    return contains


def _date_ms(found: object) -> int | None:
    return parse_date_ms(found) if type(found) is str else None
