"""What is measured over a list of events, in exact arithmetic.

It refuses numbers that no double holds, as the events that carry them are refused.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction

from tests.oracle.values import is_number, order, walk
from tests.oracle.world import Event, Json

NO_NUMBER_FROM = 10**15
UNIQUE_LIST_LENGTH = 100
_SIX_PLACES = 10**6


def decimal_number(number: float) -> Fraction | None:
    """A number as sum and avg take it: its shortest decimal text, half-even to 6 places; None from 1e15 on."""
    text = repr(float(number))
    exact = Fraction(Decimal(text))
    if abs(exact) >= NO_NUMBER_FROM:
        return None
    return six_places(exact)


def six_places(exact: Fraction) -> Fraction:
    """The nearest multiple of 0.000001, a tie going to the even one."""
    return Fraction(round(exact * _SIX_PLACES), _SIX_PLACES)


def as_json_number(exact: Fraction) -> int | float:
    """The double whose decimal text says `exact`, a multiple of 0.000001; whole numbers without a point."""
    return exact.numerator if exact.denominator == 1 else float(exact)


def measured(measure: Json, events: Sequence[Event]) -> Fraction | float | int | None:
    """What an event node measures over its matching events; None when it has nothing to measure.

    Sum and avg come as exact fractions, min and max as doubles.
    """
    if measure == "count":
        return len(events)
    ((kind, path),) = measure.items()
    found = [walk(event.properties, path) for event in events]
    if kind == "distinct":
        return len(_unlike(each for each in found if is_scalar(each)))
    numbers = [each for each in found if is_number(each)]
    if kind in {"min", "max"}:
        doubles = [float(each) for each in numbers]
        if not doubles:
            return None
        return min(doubles) if kind == "min" else max(doubles)
    decimals = [each for each in map(decimal_number, numbers) if each is not None]
    if kind == "sum":
        return sum(decimals, Fraction(0))
    if kind == "avg":
        return sum(decimals, Fraction(0)) / len(decimals) if decimals else None
    raise ValueError(f"unknown measure {kind!r}")


def satisfies(measure: Json, amount: Fraction | float | None, bounds: dict[str, float]) -> bool:
    """Whether a measured amount satisfies every bound of `is`."""
    if amount is None:
        return False
    decimal = measure != "count" and set(measure) & {"sum", "avg"}
    for operator, bound in bounds.items():
        if decimal:
            exact = decimal_number(bound)
            if exact is None:
                raise ValueError(f"{bound!r} is no bound for a sum or an average")
            if not order(operator, Fraction(amount), exact):
                return False
        elif not order(operator, float(amount), float(bound)):
            return False
    return True


def is_scalar(value: Json) -> bool:
    """A string, a number or a boolean."""
    return isinstance(value, str | bool) or is_number(value)


def as_trait(measure: Json, events: Sequence[Event]) -> Json:
    """What a computed trait is over its matching events; None when it is missing."""
    if measure == "count":
        return len(events) or None
    ((kind, path),) = measure.items()
    values = [value for each in first_to_last(events) if (value := walk(each.properties, path)) is not None]
    scalars = [value for value in values if is_scalar(value)]
    match kind:
        case "first":
            return values[0] if values else None
        case "last":
            carriers = [each for each in events if walk(each.properties, path) is not None]
            latest = max(carriers, key=lambda each: (each.time_ms, each.message_id, each.source), default=None)
            return walk(latest.properties, path) if latest else None
        case "most_frequent":
            ranks = [_rank(each) for each in scalars]
            return max(_unlike(scalars), key=lambda each: ranks.count(_rank(each)), default=None)
        case "unique_list":
            return sorted(_unlike(scalars), key=_rank)[:UNIQUE_LIST_LENGTH] or None
        case "distinct":
            return len(_unlike(scalars)) or None
        case "min" | "max":
            return measured(measure, events)
        case "sum" | "avg":
            if not any(is_number(each) and decimal_number(each) is not None for each in scalars):
                return None
            exact = measured(measure, events)
            return as_json_number(six_places(Fraction(exact or 0)))
        case _:
            raise ValueError(f"unknown measure {kind!r}")


def first_to_last(events: Sequence[Event]) -> list[Event]:
    """By event time; of a tie the larger messageId is the first, then the larger write key."""
    larger_id_first = sorted(events, key=lambda event: (event.message_id, event.source), reverse=True)
    return sorted(larger_id_first, key=lambda event: event.time_ms)


def _unlike(scalars: Iterable[Json]) -> list[Json]:
    """The values without those equal to an earlier one, in order."""
    kept: dict[tuple[int, Json], Json] = {}
    for scalar in scalars:
        kept.setdefault(_rank(scalar), scalar)
    return list(kept.values())


def _rank(scalar: Json) -> tuple[int, Json]:
    """One for equal values, and in order: false, true, then numbers by value, then strings by code point."""
    if isinstance(scalar, bool):
        return (0, scalar)
    if is_number(scalar):
        return (1, float(scalar))
    return (2, scalar)
