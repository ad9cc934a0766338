"""The CDNOW purchase history: 69,659 purchases of 23,570 customers of a shop, January 1997 to June 1998.

Reads the file that the package `lifetimes` carries, a line a purchase: customer, date, number of CDs, dollars. Refuses
a line of another shape: a history that is read in part would prove nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

NOON = time(12, tzinfo=UTC)
"""The file has dates alone. At noon, no time zone and no clock that is a little wrong moves an order to another day."""


class WrongHistory(Exception):
    """The file is not the history."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """One line. `line` counts from 1 and tells purchases apart that are alike; money is in cents."""

    line: int
    customer: str
    day: date
    quantity: int
    cents: int

    @property
    def profile_id(self) -> str:
        return f"cdnow-{self.customer}"

    @property
    def message_id(self) -> str:
        """The same whenever it is sent, so that one sent twice counts once."""
        return f"cdnow-{self.line}"

    def at(self, shift: timedelta) -> datetime:
        """When it happened, with its date moved by whole days."""
        return datetime.combine(self.day + shift, NOON)


def read(file: Path) -> list[Purchase]:
    """Every purchase, in the file's order. Raises WrongHistory."""
    lines = file.read_text(encoding="ascii").splitlines()[1:]  # the first names the columns
    return [_purchase(number, line) for number, line in enumerate(lines, start=1)]


def _purchase(number: int, line: str) -> Purchase:
    try:
        customer, day, quantity, dollars = line.split()
        cents = int(Decimal(dollars) * 100)
        return Purchase(number, customer, date.fromisoformat(day), int(quantity), cents)
    except (ValueError, InvalidOperation) as error:
        raise WrongHistory(f"line {number + 1} is no purchase: {line!r}") from error


def shift_to(purchases: Sequence[Purchase], last: date) -> timedelta:
    """By how much to move every date so that the last purchase falls on `last`."""
    return last - max(purchase.day for purchase in purchases)
