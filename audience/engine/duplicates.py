"""Which message ids a profile has seen: each counts once per source and profile (rules.md, "Accepted events").

Ids are kept as 8 bytes of a hash, in generations of GENERATION_MS by the time they were received. A generation is
forgotten once it is GENERATIONS old, so that an id is remembered for 24 to 32 hours. A profile that sends more than
MOST_IDS events in that time forgets its oldest generation early: its state stays bounded, and a copy of an event from
then would count again.
"""

from hashlib import blake2b
from typing import Final

GENERATION_MS: Final = 8 * 3_600_000
GENERATIONS: Final = 4
MOST_IDS: Final = 20_000
_WIDTH: Final = 8

Ids = list[tuple[int, bytes]]
"""The generations, newest first: a generation's number and its ids, one after the other."""


def is_new(ids: Ids, source: str, message_id: str, received_ms: int) -> bool:
    """Whether the id is new, remembering it."""
    name = blake2b(f"{source}\0{message_id}".encode("utf-8", "surrogatepass"), digest_size=_WIDTH).digest()
    for _, seen in ids:
        if _holds(seen, name):
            return False
    generation = received_ms // GENERATION_MS
    if ids and ids[0][0] >= generation:
        ids[0] = (ids[0][0], ids[0][1] + name)
    else:
        ids.insert(0, (generation, name))
        while ids[-1][0] <= generation - GENERATIONS:
            ids.pop()
    if len(ids) > 1 and sum(len(seen) for _, seen in ids) > MOST_IDS * _WIDTH:
        ids.pop()
    elif len(ids[0][1]) > MOST_IDS * _WIDTH:
        ids[0] = (ids[0][0], ids[0][1][-MOST_IDS * _WIDTH // 2 :])
    return True


def _holds(seen: bytes, name: bytes) -> bool:
    start = seen.find(name)
    while start >= 0:
        if start % _WIDTH == 0:
            return True
        start = seen.find(name, start + 1)
    return False
