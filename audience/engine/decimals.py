"""Exact decimal arithmetic on whole numbers of millionths (rules.md: sum and avg are decimal arithmetic)."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from audience.rules.parse import NO_DECIMAL

SCALE: Final = 1_000_000
"""How many units a one is: six decimal places."""

_EXACT_BELOW: Final = 1e9
_PLACES: Final = Decimal("0.000001")


def to_micros(number: int | float) -> int | None:
    """The number's shortest decimal text, rounded half-even to six places, in millionths; None beyond NO_DECIMAL."""
    if isinstance(number, int):
        return number * SCALE if -NO_DECIMAL < number < NO_DECIMAL else None
    if -_EXACT_BELOW < number < _EXACT_BELOW:
        # Up to here six places are at most 15 significant digits, which a double holds exactly enough to tell apart:
        # where the nearest millionth reads back as the same double, it is the shortest text.
        micros = round(number * SCALE)
        if micros / SCALE == number:
            return micros
    if not -NO_DECIMAL < number < NO_DECIMAL:
        return None
    return int(Decimal(repr(number)).quantize(_PLACES, ROUND_HALF_EVEN).scaleb(6))


def from_micros(micros: int) -> int | float:
    """The JSON number of so many millionths; whole ones as integers."""
    return micros // SCALE if micros % SCALE == 0 else micros / SCALE


def quotient(micros: int, count: int) -> int | float:
    """The average, rounded half-even to six places, as a JSON number."""
    whole, rest = divmod(micros, count)
    if 2 * rest > count or (2 * rest == count and whole % 2):
        whole += 1
    return from_micros(whole)


def json_number(value: float) -> int | float:
    """A double as JSON shows it: whole numbers that a double holds exactly as integers."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
