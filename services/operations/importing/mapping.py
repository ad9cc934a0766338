"""From a row of a file to an event as an SDK would send it, by a mapping written in TOML. docs/history.md explains it.

Pure. Refuses a mapping with a key that it does not know, and, row by row, values that do not fit, with a stable code.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Row = Mapping[str, Any]
"""A row by its columns' names: texts of a CSV file, any JSON value of the others. Missing, null and empty are one."""

BUILT_IN: Final = ("events", "uci-online-retail")
_FIELDS: Final = (
    "type", "event", "name", "user_id", "anonymous_id", "group_id", "previous_id", "message_id", "timestamp",
)  # fmt: skip
_OBJECTS: Final = ("properties", "traits", "context")
_SENT_AS: Final = {
    "user_id": "userId",
    "anonymous_id": "anonymousId",
    "group_id": "groupId",
    "previous_id": "previousId",
    "message_id": "messageId",
}
_KEYS: Final = frozenset(("column", "columns", "as", "format", "timezone", "starts_with", "otherwise", "multiply"))


class BadMapping(ValueError):
    """The mapping cannot be used; the message names the key."""


class BadValue(Exception):
    """A row's value does not fit: a stable `code`, the event's field, words."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.message = message


Take = Callable[[Row], Any]


@dataclass(frozen=True, slots=True)
class Mapping_:  # noqa: N801  `Mapping` is the standard library's
    """What a mapping takes from a row for each part of the event."""

    fields: Mapping[str, Take]
    objects: Mapping[str, Mapping[str, Take]]

    def event(self, row: Row) -> dict[str, Any]:
        """The event as it is sent. Raises BadValue."""
        event = {
            _SENT_AS.get(name, name): value for name, take in self.fields.items() if (value := take(row)) is not None
        }
        for name, members in self.objects.items():
            found = {key: value for key, take in members.items() if (value := take(row)) is not None}
            if found:
                event[name] = found
        return event


def read_mapping(text: str) -> Mapping_:
    """A mapping in TOML. Raises BadMapping."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadMapping(f"the mapping is no TOML: {error}") from error
    fields: dict[str, Take] = {}
    objects: dict[str, Mapping[str, Take]] = {}
    for name, rule in given.items():
        if name in _FIELDS:
            fields[name] = _take(name, rule)
        elif name in _OBJECTS and isinstance(rule, dict):
            whole = isinstance(rule.get("column"), str)
            if whole:
                fields[name] = _take(name, rule)
            else:
                objects[name] = {key: _take(f"{name}.{key}", each) for key, each in rule.items()}
        else:
            raise BadMapping(f"{name!r} is not one of {', '.join((*_FIELDS, *_OBJECTS))}")
    if "type" not in fields:
        raise BadMapping("'type' is missing")
    return Mapping_(fields, objects)


def built_in(name: str) -> str:
    """The text of a mapping that comes with the platform."""
    return (files(__package__) / f"{name}.toml").read_text()


def _take(field: str, rule: Any) -> Take:
    """What a part of a mapping takes from a row: a constant, or something made of columns."""
    if not isinstance(rule, dict):
        return lambda _: rule
    unknown = sorted(rule.keys() - _KEYS)
    if unknown:
        raise BadMapping(f"{field}: {', '.join(unknown)} is not one of {', '.join(sorted(_KEYS))}")
    if "multiply" in rule:
        columns = _names(field, rule["multiply"])
        return lambda row: _product(field, [_value(row, column) for column in columns])
    if "columns" in rule:
        columns = _names(field, rule["columns"])
        return lambda row: _joined([_value(row, column) for column in columns])
    if not isinstance(rule.get("column"), str):
        raise BadMapping(f"{field}: 'column' is missing")
    column: str = rule["column"]
    if "starts_with" in rule:
        starts, otherwise = rule["starts_with"], rule.get("otherwise")
        return lambda row: next(
            (value for start, value in starts.items() if str(_value(row, column) or "").startswith(start)), otherwise
        )
    if "format" in rule:
        zone, form = _zone(field, rule.get("timezone", "UTC")), rule["format"]
        return lambda row: _time(field, _value(row, column), form, zone)
    kind = rule.get("as", "value")
    if kind not in _KINDS:
        raise BadMapping(f"{field}: as {kind!r} is not one of {', '.join(_KINDS)}")
    convert = _KINDS[kind]
    return lambda row: _converted(field, _value(row, column), convert)


def _names(field: str, given: Any) -> list[str]:
    if not isinstance(given, list) or not given or not all(isinstance(each, str) for each in given):
        raise BadMapping(f"{field}: a list of columns is expected")
    return given


def _zone(field: str, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise BadMapping(f"{field}: there is no time zone {name!r}") from error


def _value(row: Row, column: str) -> Any:
    """A column's value; dots walk into objects."""
    if column in row:
        found: Any = row[column]
    else:
        found = row
        for part in column.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    return found.strip() or None if isinstance(found, str) else found


def _converted(field: str, value: Any, convert: Callable[[Any], Any]) -> Any:
    if value is None:
        return None
    try:
        return convert(value)
    except (ValueError, InvalidOperation) as error:
        raise BadValue("bad_value", field, f"{value!r} cannot be read: {error}") from error


def _product(field: str, values: list[Any]) -> float | None:
    """The product in decimals, as they are written, so that 3 times 0.1 is 0.3."""
    if None in values:
        return None
    product = Decimal(1)
    for value in values:
        product *= _converted(field, value, _decimal)
    return float(product)


def _joined(values: list[Any]) -> str | None:
    return None if None in values else ":".join(map(str, values))


def _time(field: str, value: Any, form: str, zone: ZoneInfo) -> str | None:
    if value is None:
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.strptime(str(value), form)  # noqa: DTZ007  below
    except ValueError as error:
        raise BadValue("bad_timestamp", field, f"{value!r} is not of the form {form!r}") from error
    known = found if found.tzinfo is not None else found.replace(tzinfo=zone)
    return known.astimezone(UTC).isoformat(timespec="milliseconds")


def _decimal(value: Any) -> Decimal:
    found = Decimal(str(value))
    if not found.is_finite():
        raise ValueError("no finite number")
    return found


def _whole(value: Any) -> int:
    found = _decimal(value)
    if found != int(found):
        raise ValueError("no whole number")
    return int(found)


def _number(value: Any) -> float | int:
    found = _decimal(value)
    return int(found) if found == int(found) and "." not in str(value) else float(found)


def _truth(value: Any) -> bool:
    found = _TRUTHS.get(str(value).lower())
    if found is None:
        raise ValueError("neither true nor false")
    return found


def _as_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat(timespec="milliseconds")
    if isinstance(value, Decimal):
        return float(value)
    return value


_TRUTHS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_KINDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "value": _as_value,
    "text": str,
    "number": _number,
    "integer": _whole,
    "boolean": _truth,
    "id": lambda value: str(_whole(value)) if str(value).endswith(".0") else str(value),
}
