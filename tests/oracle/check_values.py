"""What is wrong with the values in a rule, and where: paths, operators with their values, durations, measures.

It knows nothing of nodes; `check.py` does. It expects JSON values and refuses none of them.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import re2

from tests.oracle.measures import NO_NUMBER_FROM
from tests.oracle.times import date_ms, duration_ms
from tests.oracle.values import is_number
from tests.oracle.world import Json, JsonObject

MAX_LIST_VALUES = 1000
MAX_VALUE_DEPTH = 64
BOUNDS = ("eq", "ne", "gt", "gte", "lt", "lte")

_REGEX_OPTIONS = re2.Options()
_REGEX_OPTIONS.log_errors = False


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong: a stable code, and where."""

    code: str
    path: str


def pointer(base: str, key: str | int) -> str:
    """A JSON pointer (RFC 6901) one level deeper."""
    return f"{base}/{str(key).replace('~', '~0').replace('/', '~1')}"


class ValueChecker:
    """Collects problems; each method checks one kind of value at the pointer `at`."""

    def __init__(self) -> None:
        self.found: set[Problem] = set()

    def say(self, code: str, at: str) -> None:
        self.found.add(Problem(code, at))

    def keys(self, value: JsonObject, at: str, allowed: Collection[str], required: Collection[str]) -> None:
        for key in value:
            if key not in allowed:
                self.say("unknown_key", pointer(at, key))
        if any(key not in value for key in required):
            self.say("missing_key", at)

    def operator(self, test: JsonObject, at: str, *, moves_with_time: bool) -> None:
        """`op` and `value`."""
        if "op" not in test:
            return self.say("missing_key", at)
        operator = test["op"]
        if not isinstance(operator, str):
            return self.say("wrong_type", f"{at}/op")
        if operator in {"exists", "absent"}:
            if "value" in test:
                self.say("unknown_key", f"{at}/value")
            return None
        check = _operand_checks(self).get(operator)
        if check is None or (operator in {"within_last", "within_next"} and not moves_with_time):
            return self.say("unknown_operator", f"{at}/op")
        if "value" not in test:
            return self.say("missing_key", at)
        if test["value"] is None:
            return self.say("bad_value", f"{at}/value")
        found_before = len(self.found)
        check(test["value"], f"{at}/value")
        if len(self.found) == found_before and depth(test["value"]) > MAX_VALUE_DEPTH:
            self.say("limit_exceeded", f"{at}/value")
        elif len(self.found) == found_before and holds_infinity(test["value"]):
            self.say("bad_value", f"{at}/value")
        return None

    def any_value(self, value: Json, at: str) -> None:
        """Every value but null will do."""

    def text(self, value: Json, at: str) -> None:
        if not isinstance(value, str):
            self.say("wrong_type", at)

    def number_or_text(self, value: Json, at: str) -> None:
        if not isinstance(value, str) and not is_number(value):
            self.say("wrong_type", at)

    def values(self, value: Json, at: str) -> None:
        if not isinstance(value, list):
            self.say("wrong_type", at)
        elif not value:
            self.say("empty", at)
        elif len(value) > MAX_LIST_VALUES:
            self.say("limit_exceeded", at)

    def regex(self, value: Json, at: str) -> None:
        if not isinstance(value, str):
            return self.say("wrong_type", at)
        try:
            re2.compile(value, _REGEX_OPTIONS)
        except re2.error:
            self.say("bad_regex", at)
        return None

    def date(self, value: Json, at: str) -> None:
        if not isinstance(value, str):
            self.say("wrong_type", at)
        elif date_ms(value) is None:
            self.say("bad_date", at)

    def duration(self, value: Json, at: str) -> None:
        if not isinstance(value, str):
            return self.say("wrong_type", at)
        try:
            duration_ms(value)
        except ValueError:
            self.say("bad_duration", at)
        return None

    def path(self, value: Json, at: str) -> bool:
        if not isinstance(value, str):
            self.say("wrong_type", at)
        elif not value:
            self.say("empty", at)
        elif "" in value.split("."):
            self.say("bad_value", at)
        else:
            return True
        return False

    def measure(self, measure: Json, at: str, kinds: Collection[str]) -> None:
        if measure == "count":
            return None
        if isinstance(measure, str):
            return self.say("bad_value", at)
        if not isinstance(measure, dict):
            return self.say("wrong_type", at)
        if not measure:
            return self.say("empty", at)
        self.keys(measure, at, kinds, ())
        known = [kind for kind in measure if kind in kinds]
        if len(known) > 1:
            self.say("bad_value", at)
        for kind in known:
            self.path(measure[kind], pointer(at, kind))
        return None

    def bounds(self, bounds: Json, at: str, *, decimal: bool) -> None:
        if not isinstance(bounds, dict):
            return self.say("wrong_type", at)
        if not bounds:
            return self.say("empty", at)
        for operator, bound in bounds.items():
            if operator not in BOUNDS:
                self.say("unknown_operator", pointer(at, operator))
            elif not is_number(bound):
                self.say("wrong_type", pointer(at, operator))
            elif holds_infinity(bound) or (decimal and abs(bound) >= NO_NUMBER_FROM):
                self.say("bad_value", pointer(at, operator))
        return None


def _operand_checks(checker: ValueChecker) -> dict[str, Callable[[Json, str], None]]:
    return {
        "eq": checker.any_value,
        "ne": checker.any_value,
        "gt": checker.number_or_text,
        "gte": checker.number_or_text,
        "lt": checker.number_or_text,
        "lte": checker.number_or_text,
        "in": checker.values,
        "not_in": checker.values,
        "contains": checker.any_value,
        "starts_with": checker.text,
        "ends_with": checker.text,
        "matches": checker.regex,
        "before": checker.date,
        "after": checker.date,
        "within_last": checker.duration,
        "within_next": checker.duration,
    }


def depth(value: Json) -> int:
    """How deep lists and objects stand in each other; 0 for all other values."""
    inner = value if isinstance(value, list) else value.values() if isinstance(value, dict) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def holds_infinity(value: Json) -> bool:
    """Whether a number in it has no finite double."""
    if isinstance(value, list):
        return any(map(holds_infinity, value))
    if isinstance(value, dict):
        return any(map(holds_infinity, value.values()))
    if not is_number(value):
        return False
    try:
        return not math.isfinite(float(value))
    except OverflowError:
        return True
