"""JSON values: equality, paths, and the operators of a test.

Nothing is coerced. It refuses an operator that it does not know with `ValueError`; it never
answers False for want of knowing better.
"""

from typing import TypeGuard

import re2

from tests.oracle.times import date_ms, duration_ms
from tests.oracle.world import Json, JsonObject


def is_number(value: Json) -> TypeGuard[int | float]:
    """A JSON number; `true` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(left: Json, right: Json) -> bool:
    """Deep equality; numbers as IEEE doubles, booleans only with booleans."""
    if is_number(left) and is_number(right):
        return float(left) == float(right)
    if isinstance(left, bool) and isinstance(right, bool):
        return left == right
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(*pair) for pair in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left is None and right is None


def walk(value: Json, path: str) -> Json:
    """The value that a dotted path leads to through objects; None where it leads nowhere."""
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


def holds(test: JsonObject, actual: Json, now_ms: int | None) -> bool:
    """Whether `{"op": …, "value": …}` holds for `actual`; None is a missing value and `null` alike.

    `now_ms` is None for a test of an event, which must not move with time.
    """
    operator = test["op"]
    if operator == "absent":
        return actual is None
    if actual is None:
        return False
    if operator == "exists":
        return True
    return _compare(operator, actual, test["value"], now_ms)


def _compare(operator: str, actual: Json, wanted: Json, now_ms: int | None) -> bool:
    match operator:
        case "eq":
            return same(actual, wanted)
        case "ne":
            return not same(actual, wanted)
        case "in":
            return any(same(actual, each) for each in wanted)
        case "not_in":
            return not any(same(actual, each) for each in wanted)
        case "gt" | "gte" | "lt" | "lte":
            return _ordered(operator, actual, wanted)
        case "contains":
            if isinstance(actual, list):
                return any(same(each, wanted) for each in actual)
            return isinstance(actual, str) and isinstance(wanted, str) and wanted in actual
        case "starts_with":
            return isinstance(actual, str) and actual.startswith(wanted)
        case "ends_with":
            return isinstance(actual, str) and actual.endswith(wanted)
        case "matches":
            return isinstance(actual, str) and re2.search(wanted, actual) is not None
        case "before" | "after":
            return _dated(operator, date_ms(actual), date_ms(wanted))
        case "within_last" | "within_next":
            return _near(operator, date_ms(actual), duration_ms(wanted), now_ms)
        case _:
            raise ValueError(f"unknown operator {operator!r}")


def _ordered(operator: str, actual: Json, wanted: Json) -> bool:
    if is_number(actual) and is_number(wanted):
        return order(operator, float(actual), float(wanted))
    if isinstance(actual, str) and isinstance(wanted, str):
        return order(operator, actual, wanted)  # Python orders strings by code point
    return False


def order(operator: str, left: Json, right: Json) -> bool:
    """`left operator right` for two values of one Python type that has an order."""
    match operator:
        case "eq":
            return bool(left == right)
        case "ne":
            return bool(left != right)
        case "gt":
            return bool(left > right)
        case "gte":
            return bool(left >= right)
        case "lt":
            return bool(left < right)
        case "lte":
            return bool(left <= right)
        case _:
            raise ValueError(f"unknown operator {operator!r}")


def _dated(operator: str, instant_ms: int | None, bound_ms: int | None) -> bool:
    if bound_ms is None:
        raise ValueError(f"{operator} needs a date")
    if instant_ms is None:
        return False
    return instant_ms < bound_ms if operator == "before" else instant_ms > bound_ms


def _near(operator: str, instant_ms: int | None, length_ms: int, now_ms: int | None) -> bool:
    if now_ms is None:
        raise ValueError(f"{operator} moves with time, and is for traits alone")
    if instant_ms is None:
        return False
    if operator == "within_last":
        return now_ms - length_ms <= instant_ms <= now_ms
    return now_ms <= instant_ms <= now_ms + length_ms
