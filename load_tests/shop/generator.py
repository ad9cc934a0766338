"""The shop's events in the order in which they are sent, the same for the same seed, without end.

So many visits are open as the rate and the pauses of visitors make; each slot of the rate takes the next step of one
of them. So the rate holds from the first event on, and events of one visitor lie seconds apart. A share of the events
comes late (their time lies before their sending), twice (the same messageId once more, seconds later) or spoiled.
Refuses shares that are none, and rates and numbers below one, with ValueError.
"""

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Final, Literal

from load_tests.shop.visits import LOCALES, Body, World, newcomer, products, visit

PAUSE_S: Final = 12.0
"""Between two events of a visitor, on average."""
DUPLICATE_WITHIN_S: Final = 20.0
LATE_MEAN_MS: Final = 3_600_000
LATE_MOST_MS: Final = 24 * 3_600_000
MOST_OPEN: Final = 20_000

Kind = Literal["good", "duplicate", "bad"]


@dataclass(frozen=True, slots=True)
class Shop:
    """What the shop is like. `skew` is Zipf's exponent over the customers: 0 makes all of them equally active."""

    seed: int = 1
    users: int = 10_000
    rate_per_s: float = 500.0
    skew: float = 1.0
    products: int = 1_000
    new_share: float = 0.03
    """Of the visits: those by somebody who was never there before."""
    late_share: float = 0.02
    duplicate_share: float = 0.01
    bad_share: float = 0.0

    def __post_init__(self) -> None:
        for name in ("new_share", "late_share", "duplicate_share", "bad_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share: from 0 to 1")
        if self.users < 1 or self.products < 1 or self.rate_per_s <= 0 or self.skew < 0:
            raise ValueError("users and products are 1 or more, the rate is above 0, the skew 0 or more")


@dataclass(frozen=True, slots=True)
class Sent:
    """An event as it is sent `due_ms` after the start: `body` has no time yet, which lies `late_ms` before that.

    `code` is the fault that the platform must find in a bad one, else empty.
    """

    due_ms: int
    late_ms: int
    body: Body
    kind: Kind = "good"
    code: str = ""

    def at(self, start_ms: int) -> Body:
        """The body with its times, for a start at this instant."""
        sent_ms = start_ms + self.due_ms
        timestamp = self.body.get("timestamp", iso(sent_ms - self.late_ms))
        return {**self.body, "timestamp": timestamp, "sentAt": iso(sent_ms)}


def iso(time_ms: int) -> str:
    """As SDKs write times."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03}Z"


def events(shop: Shop, run: str = "") -> Iterator[Sent]:
    """The events. `run` begins their message ids: two runs of one seed are then not taken for copies of each other."""
    chance = random.Random(shop.seed)
    articles = products(shop.products, shop.seed)
    world = World(chance, shop.seed, shop.users, articles, _zipf(len(articles), 1.0))
    customers = _zipf(shop.users, shop.skew)
    everybody = range(shop.users)
    run = run or f"shop-{shop.seed}"

    def opened() -> Iterator[Body]:
        if chance.random() < shop.new_share:
            return newcomer(world)
        [number] = chance.choices(everybody, cum_weights=customers)
        return visit(world, number)

    open_visits = [opened() for _ in range(max(1, min(MOST_OPEN, round(shop.rate_per_s * PAUSE_S))))]
    again: list[tuple[int, int, Sent]] = []
    slot_ms = 1000 / shop.rate_per_s
    slot = number = 0
    while True:
        due_ms = int(slot * slot_ms)
        slot += 1
        if again and again[0][0] <= due_ms:
            before = heapq.heappop(again)[2]
            yield Sent(due_ms, before.late_ms + due_ms - before.due_ms, before.body, "duplicate")
            continue
        place = chance.randrange(len(open_visits))
        body = next(open_visits[place], None)
        while body is None:
            open_visits[place] = opened()
            body = next(open_visits[place], None)
        number += 1
        body["messageId"] = f"{run}-{number}"
        body["context"] = _context(chance)
        late_ms = 0
        if chance.random() < shop.late_share:
            late_ms = min(LATE_MOST_MS, int(chance.expovariate(1 / LATE_MEAN_MS)))
        if chance.random() < shop.bad_share:
            spoiled, code = _spoiled(chance, body)
            yield Sent(due_ms, late_ms, spoiled, "bad", code)
            continue
        sent = Sent(due_ms, late_ms, body)
        yield sent
        if chance.random() < shop.duplicate_share:
            heapq.heappush(again, (due_ms + int(chance.random() * DUPLICATE_WITHIN_S * 1000), number, sent))


def _zipf(count: int, skew: float) -> list[float]:
    return list(accumulate(1 / rank**skew for rank in range(1, count + 1)))


def _context(chance: random.Random) -> Body:
    return {
        "library": {"name": "analytics-python", "version": "2.4.0"},
        "locale": chance.choice(LOCALES),
        "ip": f"10.{chance.randrange(256)}.{chance.randrange(256)}.7",
    }


def _spoiled(chance: random.Random, body: Body) -> tuple[Body, str]:
    """The body with a fault, and the fault's code (docs/ingest.md, "Events that are not valid")."""
    fault = chance.randrange(4)
    if fault == 0:
        return {name: value for name, value in body.items() if name not in ("userId", "anonymousId")}, "missing_id"
    if fault == 1:
        return {**body, "type": "purchase"}, "unknown_type"
    if fault == 2:
        return {**body, "timestamp": "yesterday"}, "bad_timestamp"
    return {**body, "properties": "none"}, "wrong_type"
