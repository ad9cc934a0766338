"""Values, tests, bounds and durations in English, for `audience.rules.describe`. Text that users wrote stands in “”.

Everything is bounded: long texts are cut, and of long lists the first few are shown with how many more there are.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from audience.rules.dates import format_ms
from audience.rules.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from audience.rules.references import COMPUTED
from audience.rules.tree import Bound, Test, Window
from audience.rules.values import is_number

LONGEST_TEXT: Final = 60
"""How many characters of a text are shown."""

MOST_SHOWN: Final = 8
"""How many of a list's values, an object's keys or the tests of an event are shown."""

_DEEPEST: Final = 3
"""How deep values are looked into."""

_UNSEEN: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+")

_BOUNDS: Final[dict[Bound, tuple[str, str]]] = {
    "eq": ("exactly", "not exactly"),
    "ne": ("anything but", "exactly"),
    "gt": ("more than", "at most"),
    "gte": ("at least", "less than"),
    "lt": ("less than", "at least"),
    "lte": ("at most", "more than"),
}
"""What a number is, and what it is where the bound does not hold."""

_UNITS: Final = ((DAY_MS, "day"), (HOUR_MS, "hour"), (MINUTE_MS, "minute"), (SECOND_MS, "second"))

_VERBS: Final = {
    "contains": ("contains", "does not contain"),
    "starts_with": ("starts with", "does not start with"),
    "ends_with": ("ends with", "does not end with"),
    "matches": ("matches the pattern", "does not match the pattern"),
}

_TEXT_ORDER: Final = {
    "gt": "after",
    "gte": "at or after",
    "lt": "before",
    "lte": "at or before",
}


def quoted(text: str) -> str:
    """A user's text in quotation marks: on one line, cut where it is long."""
    plain = _UNSEEN.sub(" ", text.replace("“", '"').replace("”", '"'))
    return f"“{plain if len(plain) <= LONGEST_TEXT else plain[: LONGEST_TEXT - 1] + '…'}”"


def number(value: float) -> str:
    """A number as it was meant: 500.0 is 500."""
    double = float(value)
    whole = abs(double) < 1e21 and double == int(double)
    return str(int(double)) if whole else repr(double)


def amount(value: float) -> str:
    """A number that is counted or summed up to: 1,000."""
    text = number(value)
    return f"{int(text):,}" if text.lstrip("-").isdigit() else text


def listed(words: Sequence[str], conjunction: str) -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {conjunction} {words[-1]}"


def shown(items: Sequence[Any], words: Callable[[Any], str], conjunction: str) -> str:
    """The first of many in words, and how many more there are."""
    found = [words(item) for item in items[:MOST_SHOWN]]
    if len(items) > MOST_SHOWN:
        found.append(f"{len(items) - MOST_SHOWN:,} more")
    return listed(found, conjunction)


def value(found: Any, depth: int = 1) -> str:
    """A JSON value."""
    if isinstance(found, str):
        return quoted(found)
    if is_number(found):
        return number(found)
    if isinstance(found, bool):
        return "true" if found else "false"
    if found is None:
        return "nothing"
    if depth > _DEEPEST:
        return "…"
    if isinstance(found, list):
        return f"the list of {shown(found, lambda each: value(each, depth + 1), 'and')}" if found else "the empty list"
    pairs = sorted(found.items())
    if not pairs:
        return "the empty object"
    return f"the object with {shown(pairs, lambda pair: f'{quoted(pair[0])} {value(pair[1], depth + 1)}', 'and')}"


def duration(length_ms: int) -> str:
    """``30 days``, ``1 hour``; a day is ``24 hours``."""
    if length_ms == DAY_MS:
        return "24 hours"
    unit_ms, unit = next(each for each in _UNITS if length_ms % each[0] == 0)
    count = length_ms // unit_ms
    return f"{count:,} {unit}" if count == 1 else f"{count:,} {unit}s"


def last(length_ms: int) -> str:
    """``the last 30 days``, ``the last hour``."""
    return f"the last {duration(length_ms).removeprefix('1 ')}"


def window(found: Window | None) -> str:
    return "over all time" if found is None else f"in {last(found.within_ms)}"


def bounds(found: Iterable[tuple[Bound, int | float]], *, holds: bool = True) -> str:
    """What a number is: ``at least 5 and less than 10``; with `holds` false, what it is where that does not hold."""
    words = [f"{_BOUNDS[op][0 if holds else 1]} {amount(bound)}" for op, bound in found]
    return listed(words, "and" if holds else "or")


def times(found: Iterable[tuple[Bound, int | float]]) -> str:
    """How often something happened: ``at least twice``, ``fewer than 5 times``."""
    words = []
    for op, bound in found:
        often = "once" if bound == 1 else "twice" if bound == 2 else f"{amount(bound)} times"
        if op == "ne":
            words.append(f"any number of times but {amount(bound)}")
        else:
            words.append(f"{'fewer than' if op == 'lt' else _BOUNDS[op][0]} {often}")
    return listed(words, "and")


def place(test: Test) -> str:
    """What a test looks at."""
    path = test.path
    if test.of == "context":
        return f"context {quoted('.'.join(path))}"
    if test.of == "trait" and path[0] == COMPUTED and len(path) > 1:
        return f"computed trait {quoted('.'.join(path[1:]))}"
    return quoted(".".join(path))


def verb(test: Test, *, holds: bool = True) -> str:
    """What a test says of what it looks at, or what its opposite says, which a missing value meets too."""
    if test.op in ("exists", "absent"):
        return "is set" if (test.op == "exists") == holds else "is not set"
    return _held(test) if holds else f"{_denied(test)} or is not set"


def _held(test: Test) -> str:
    if test.op in _VERBS:
        return f"{_VERBS[test.op][0]} {value(test.value)}"
    if test.op == "ne":
        return f"is something other than {value(test.value)}"
    if test.op == "not_in":
        return f"is something other than {shown(test.value, value, 'or')}"
    return f"is {_operand(test)}"


def _denied(test: Test) -> str:
    if test.op in _VERBS:
        return f"{_VERBS[test.op][1]} {value(test.value)}"
    if test.op in ("ne", "not_in"):
        return f"is {_operand(test)}"  # what is denied is the other
    return f"is not {_operand(test)}"


def _operand(test: Test) -> str:
    """What follows ``is``."""
    operand = test.value
    match test.op:
        case "in" | "not_in":
            return f"{'one of ' if len(operand) > 1 else ''}{shown(operand, value, 'or')}"
        case "gt" | "gte" | "lt" | "lte" if isinstance(operand, str):
            return f"{_TEXT_ORDER[test.op]} {quoted(operand)} in the alphabet"
        case "gt" | "gte" | "lt" | "lte":
            return f"{_BOUNDS[test.op][0]} {amount(operand)}"
        case "before" | "after":
            return f"{test.op} {_date(operand)}"
        case "within_last":
            return f"in {last(operand)}"
        case "within_next":
            return f"in the next {duration(operand).removeprefix('1 ')}"
        case _:
            return value(operand)


def _date(at_ms: int) -> str:
    """A day, or an instant to the millisecond; without days beyond the calendar of years 1 to 9999."""
    try:
        text = format_ms(at_ms)
    except OverflowError:
        return "the beginning of time" if at_ms < 0 else "the end of time"
    return text.removesuffix("T00:00:00.000Z").replace(".000Z", "Z")
