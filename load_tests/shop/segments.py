"""The segments that a shop asks for: in the mix of the benchmarks, over the generator's own events and traits.

40% traits, 30% counts and sums in windows, 15% sequences, 15% absence; a third of them combine two conditions.
"""

import random
from collections.abc import Mapping
from typing import Any, Final

from load_tests.shop.visits import CATEGORIES, COUNTRIES

TAG: Final = "load"
EVENTS: Final = (
    "Product Viewed",
    "Product Added",
    "Product List Viewed",
    "Cart Viewed",
    "Checkout Started",
    "Order Completed",
    "Order Refunded",
    "Signed In",
    "Signed Up",
)
WITH_TOTAL: Final = ("Checkout Started", "Order Completed", "Order Refunded")
PATHS: Final = (
    ("Product Viewed", "Product Added"),
    ("Product Added", "Order Completed"),
    ("Cart Viewed", "Order Completed"),
    ("Signed Up", "Order Completed"),
    ("Order Completed", "Order Refunded"),
)
WINDOWS: Final = ("1h", "24h", "7d", "30d", "90d")


def segments(count: int, seed: int, prefix: str = "load") -> list[dict[str, Any]]:
    """So many segments as the segment API takes them, live; the first ones the same for every count."""
    chance = random.Random(f"{seed}-segments")
    return [
        {"key": f"{prefix}-{number:04}", "rule": _rule(chance), "tags": [TAG], "status": "live"}
        for number in range(count)
    ]


def _rule(chance: random.Random) -> Mapping[str, Any]:
    if chance.random() < 1 / 3:
        return {chance.choice(("all", "any")): [_leaf(chance), _leaf(chance)]}
    return _leaf(chance)


def _leaf(chance: random.Random) -> dict[str, Any]:
    drawn = chance.random()
    if drawn < 0.40:
        return _trait(chance)
    if drawn < 0.70:
        return _measure(chance)
    if drawn < 0.85:
        first, second = chance.choice(PATHS)
        step = {"event": second, "within": chance.choice(("1h", "24h"))}
        return {"sequence": [{"event": first}, step], "within": chance.choice(WINDOWS[2:])}
    return {"event": chance.choice(EVENTS), "within": chance.choice(WINDOWS), "is": {"eq": 0}}


def _trait(chance: random.Random) -> dict[str, Any]:
    kind = chance.randrange(4)
    if kind == 0:
        return {"trait": "plan", "op": "eq", "value": chance.choice(("free", "plus", "premium"))}
    if kind == 1:
        return {"trait": "country", "op": "in", "value": sorted(set(chance.sample(COUNTRIES, 3)))}
    if kind == 2:
        return {"trait": "points", "op": chance.choice(("gte", "lt")), "value": chance.randrange(100, 3_000, 100)}
    return {"trait": "age", "op": "gte", "value": chance.randint(20, 75)}


def _measure(chance: random.Random) -> dict[str, Any]:
    window = {"within": chance.choice(WINDOWS)}
    if chance.random() < 0.4:
        amount = chance.choice((50, 100, 250, 500))
        return {"event": chance.choice(WITH_TOTAL), **window, "measure": {"sum": "total"}, "is": {"gte": amount}}
    node = {"event": chance.choice(EVENTS), **window, "is": {"gte": chance.choice((1, 2, 3, 5, 10))}}
    if node["event"].startswith("Product") and chance.random() < 0.5:
        node["where"] = [{"property": "category", "op": "eq", "value": chance.choice(CATEGORIES)}]
    return node
