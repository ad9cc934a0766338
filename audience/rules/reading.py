"""Reading JSON with every fault kept: the small tools that the parser of rules is made of. Raises nothing."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from audience.rules.durations import DurationError, parse_duration
from audience.rules.errors import ErrorCode, RuleError


class Regex(Protocol):
    """A compiled pattern; `search` gives None where the text holds no match."""

    def search(self, text: str, /) -> object: ...


RegexCompiler = Callable[[str], Regex]
"""Compiles RE2 syntax; raises ValueError with the reason for a pattern that is none. An adapter provides it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a rule may be (rules.md, "Limits")."""

    depth: int = 16
    nodes: int = 200
    steps: int = 20
    list_values: int = 1_000
    value_depth: int = 64


@dataclass(slots=True)
class Faults:
    """The faults found so far."""

    errors: list[RuleError] = field(default_factory=list)

    def add(self, code: ErrorCode, path: str, message: str) -> None:
        self.errors.append(RuleError(code, path, message))

    def keys(self, value: Mapping[str, Any], path: str, required: Iterable[str], optional: Iterable[str]) -> bool:
        """Report unknown and missing keys; whether every required one is there."""
        required = tuple(required)
        known = {*required, *optional}
        for key in value:
            if key not in known:
                self.add("unknown_key", at(path, key), f"{key!r} has no meaning here; known are {_words(known)}")
        missing = [key for key in required if key not in value]
        for key in missing:
            self.add("missing_key", path, f"{key!r} is missing")
        return not missing

    def text(self, value: object, path: str) -> str | None:
        """The value as a string that is not empty."""
        text = self.string(value, path)
        if text == "":
            self.add("empty", path, "must not be empty")
            return None
        return text

    def string(self, value: object, path: str) -> str | None:
        if isinstance(value, str):
            return value
        self.add("wrong_type", path, f"must be a string, not {kind_of(value)}")
        return None

    def array(self, value: object, path: str) -> list[Any] | None:
        if isinstance(value, list):
            return value
        self.add("wrong_type", path, f"must be a list, not {kind_of(value)}")
        return None

    def mapping(self, value: object, path: str) -> Mapping[str, Any] | None:
        if isinstance(value, dict):
            return value
        self.add("wrong_type", path, f"must be an object, not {kind_of(value)}")
        return None

    def number(self, value: object, path: str) -> int | float | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.add("wrong_type", path, f"must be a number, not {kind_of(value)}")
            return None
        if not is_finite(value):
            self.add("bad_value", path, "must be a finite number")
            return None
        return value

    def path_of(self, value: object, path: str) -> tuple[str, ...] | None:
        """A dotted path as its parts; none may be empty."""
        text = self.text(value, path)
        if text is None:
            return None
        parts = tuple(text.split("."))
        if "" in parts:
            self.add("bad_value", path, f"{text!r} has an empty part; write it like address.city")
            return None
        return parts

    def duration_ms(self, value: object, path: str) -> int | None:
        text = self.string(value, path)
        if text is None:
            return None
        try:
            return parse_duration(text)
        except DurationError as error:
            self.add("bad_duration", path, str(error))
            return None

    def one_of(self, value: object, path: str, allowed: Iterable[str]) -> str | None:
        text = self.string(value, path)
        if text is None:
            return None
        allowed = tuple(allowed)
        if text not in allowed:
            self.add("bad_value", path, f"{text!r} is none of {_words(allowed)}")
            return None
        return text


def at(path: str, key: str | int) -> str:
    """The JSON pointer one step further down (RFC 6901)."""
    return f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}"


def is_finite(value: object) -> bool:
    """Whether a JSON value holds no number beyond the range of a double."""
    match value:
        case bool() | str() | None:
            return True
        case int():
            try:
                return math.isfinite(float(value))
            except OverflowError:
                return False
        case float():
            return math.isfinite(value)
        case list():
            return all(map(is_finite, value))
        case dict():
            return all(map(is_finite, value.values()))
        case _:
            return False


def is_deeper(value: object, depth: int) -> bool:
    """Whether lists and objects stand in each other more than `depth` deep. Takes no stack, however deep they do."""
    level = [value]
    for _ in range(depth):
        nests = [each for each in level if isinstance(each, list | dict)]
        level = [inner for outer in nests for inner in (outer if isinstance(outer, list) else outer.values())]
    return any(isinstance(each, list | dict) for each in level)


def kind_of(value: object) -> str:
    """What JSON calls a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def _words(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
