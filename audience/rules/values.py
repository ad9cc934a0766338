"""JSON values as rules compare them: nothing is coerced, numbers are IEEE doubles, ``true`` is not ``1``."""

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
