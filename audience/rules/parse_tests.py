"""Tests of single values, as traits, `where` and steps have them (rules.md, "Operators of a test")."""

from collections.abc import Mapping
from typing import Any, Final, Literal, cast, get_args

from audience.rules.dates import parse_date_ms
from audience.rules.reading import Faults, Limits, RegexCompiler, at, is_deeper, is_finite, kind_of
from audience.rules.tree import Operator, Path, Test

_OPERATORS: Final = frozenset(get_args(Operator))
_TIME_DRIVEN: Final = frozenset(("within_last", "within_next"))
_WITHOUT_VALUE: Final = frozenset(("exists", "absent"))


class TestParser:
    """Reads tests into one list of faults."""

    __test__ = False  # its name is the contract's word; it is nothing for pytest to collect

    def __init__(self, faults: Faults, limits: Limits, regex: RegexCompiler) -> None:
        self._faults = faults
        self._limits = limits
        self._regex = regex

    def trait(self, node: Mapping[str, Any], path: str) -> Test | None:
        """A trait node: ``{"trait", "op", "value"}``."""
        self._keys(node, path, "trait")
        where = self._faults.path_of(node["trait"], at(path, "trait"))
        return self._test(node, path, "trait", where)

    def where(self, value: object, path: str) -> tuple[Test, ...] | None:
        """A list of tests of an event's properties and context; None where any is wrong."""
        items = self._faults.array(value, path)
        if items is None:
            return None
        tests = [self._where_test(item, at(path, index)) for index, item in enumerate(items)]
        return None if None in tests else tuple(test for test in tests if test is not None)

    def _where_test(self, value: object, path: str) -> Test | None:
        node = self._faults.mapping(value, path)
        if node is None:
            return None
        source: Literal["property", "context"] = (
            "context" if "context" in node and "property" not in node else "property"
        )
        self._keys(node, path, source)
        where = self._faults.path_of(node[source], at(path, source)) if source in node else None
        return self._test(node, path, source, where)

    def _keys(self, node: Mapping[str, Any], path: str, source: str) -> None:
        op = node.get("op")
        if isinstance(op, str) and op in _WITHOUT_VALUE:
            self._faults.keys(node, path, (source, "op"), ())
        elif isinstance(op, str) and op in _OPERATORS and (source == "trait" or op not in _TIME_DRIVEN):
            self._faults.keys(node, path, (source, "op", "value"), ())
        else:  # which keys an unknown operator needs is unknown too
            self._faults.keys(node, path, (source, "op"), ("value",))

    def _test(
        self, node: Mapping[str, Any], path: str, of: Literal["property", "context", "trait"], where: Path | None
    ) -> Test | None:
        if "op" not in node:
            return None
        op = self._faults.string(node["op"], at(path, "op"))
        if op is None:
            return None
        if op not in _OPERATORS or (op in _TIME_DRIVEN and of != "trait"):
            self._faults.add("unknown_operator", at(path, "op"), _unknown(op, of))
            return None
        operator = cast("Operator", op)
        if operator in _WITHOUT_VALUE:
            return None if where is None else Test(of, where, operator)
        if "value" not in node:
            return None
        value = self._value(operator, node["value"], at(path, "value"))
        return None if where is None or value is None else Test(of, where, operator, value)

    def _value(self, op: Operator, value: object, path: str) -> Any:
        """The operand, read and checked; None where it is refused (null never is an operand)."""
        if value is None:
            self._faults.add("bad_value", path, "null equals nothing; use the operator absent or exists")
            return None
        match op:
            case "in" | "not_in":
                return self._values(value, path)
            case "gt" | "gte" | "lt" | "lte":
                return value if isinstance(value, str) else self._ordered(value, path)
            case "starts_with" | "ends_with":
                return self._faults.string(value, path)
            case "matches":
                return self._pattern(value, path)
            case "before" | "after":
                return self._date_ms(value, path)
            case "within_last" | "within_next":
                return self._faults.duration_ms(value, path)
            case _:
                return self._finite(value, path)

    def _values(self, value: object, path: str) -> list[Any] | None:
        values = self._faults.array(value, path)
        if values is None:
            return None
        if not values:
            self._faults.add("empty", path, "needs at least one value")
            return None
        if len(values) > self._limits.list_values:
            self._faults.add("limit_exceeded", path, f"more than {self._limits.list_values} values; use a list node")
            return None
        return values if self._finite(values, path) is not None else None

    def _ordered(self, value: object, path: str) -> int | float | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._faults.add("wrong_type", path, f"must be a number or a string, not {kind_of(value)}")
            return None
        return self._faults.number(value, path)

    def _pattern(self, value: object, path: str) -> str | None:
        text = self._faults.string(value, path)
        if text is None:
            return None
        try:
            self._regex(text)
        except ValueError as error:
            self._faults.add("bad_regex", path, f"{text!r} is no RE2 pattern: {error}")
            return None
        return text

    def _date_ms(self, value: object, path: str) -> int | None:
        text = self._faults.string(value, path)
        if text is None:
            return None
        date_ms = parse_date_ms(text)
        if date_ms is None:
            self._faults.add(
                "bad_date", path, f"{text!r} is no RFC 3339 date; write 2026-03-01 or 2026-03-01T12:00:00Z"
            )
        return date_ms

    def _finite(self, value: Any, path: str) -> Any:
        if is_deeper(value, self._limits.value_depth):
            self._faults.add("limit_exceeded", path, f"nested more than {self._limits.value_depth} deep")
            return None
        if is_finite(value):
            return value
        self._faults.add("bad_value", path, "holds a number that is not finite")
        return None


def _unknown(op: str, of: str) -> str:
    if op in _TIME_DRIVEN:
        return f"{op} is for traits only; an event's time is held by `within`"
    place = "traits" if of == "trait" else "where"
    return f"there is no operator {op!r}; for {place} there are {', '.join(sorted(_OPERATORS))}"
