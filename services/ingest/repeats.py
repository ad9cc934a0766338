"""Which events come again: by `messageId`, of the last so many of this process. For counting alone.

What counts an event once is the job, which remembers ids for a day and more, whichever process took them. Two
generations of ids: when the younger is full, the older is forgotten, so the memory is bounded.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

REMEMBERED: Final = 50_000


@dataclass(slots=True)
class Repeats:
    """The ids that were seen, as hashes: a hash that two ids share counts one too many, once in a blue moon."""

    remembered: int = REMEMBERED
    _younger: set[int] = field(default_factory=set)
    _older: set[int] = field(default_factory=set)

    def count(self, scope: str, message_ids: Iterable[str]) -> int:
        """How many of these ids of one source have been here before; remembers all of them."""
        salt = hash(scope)
        ids = [hash(message_id) ^ salt for message_id in message_ids]
        seen = set(ids)
        younger, older = self._younger, self._older
        repeated = len(ids) - len(seen) + len(seen & younger)
        if older:
            repeated += len((seen & older) - younger)
        younger |= seen
        if len(younger) >= self.remembered:
            self._younger, self._older = set(), younger
        return repeated
