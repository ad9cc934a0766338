"""JSON values as rules compare them: nothing is coerced, numbers are IEEE doubles, ``true`` is not ``1``."""

from collections.abc import Mapping
from typing import Any, Final, TypeGuard

MISSING: Final = None
"""What a path that leads nowhere gives. A missing value and null are the same to a rule."""


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a JSON value is a number; booleans are none."""
    kind = type(value)
    return kind is int or kind is float


def walk(value: Any, path: tuple[str, ...]) -> Any:
    """The value that a path leads to through objects; None where it leads nowhere."""
    for part in path:
        if type(value) is not dict:
            return MISSING
        value = value.get(part)
    return value


def same(left: object, right: object) -> bool:
    """Deep equality of two JSON values."""
    if is_number(left):
        return is_number(right) and float(left) == float(right)
    if type(left) is not type(right):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    return left == right


def scalar_key(value: object) -> object:
    """A hashable that is equal for two values just when `same` holds; None for lists, objects and null.

    A string is its own key; a number and a boolean are marked, since Python holds ``True == 1``.
    """
    kind = type(value)
    if kind is str:
        return value
    if kind is bool:
        return (value,)
    if kind is int or kind is float:
        return float(value)  # type: ignore[arg-type]  # mypy does not narrow by `kind is`
    return None
