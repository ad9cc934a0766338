"""What one visitor does between opening the shop and leaving it, as bodies that an SDK would send.

Each visit is a generator of event bodies without times and message ids. Names and properties are those of Segment's
e-commerce specification.
"""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

Body = dict[str, Any]

PLANS: Final = ("free", "free", "free", "plus", "plus", "premium")
COUNTRIES: Final = ("DE", "FR", "GB", "NL", "PL", "US", "US", "JP")
LOCALES: Final = ("de-DE", "fr-FR", "en-GB", "nl-NL", "pl-PL", "en-US", "ja-JP")
CATEGORIES: Final = ("books", "games", "garden", "kitchen", "music", "outdoor", "shoes", "toys")
PAGES: Final = ("Home", "Offers", "About", "Help", "Account")
COUPONS: Final = (None, None, None, None, "SPRING10", "WELCOME")
ORDERS_KEPT: Final = 5_000
"""How many orders may still be refunded."""


@dataclass(frozen=True, slots=True)
class Product:
    """One article."""

    sku: str
    category: str
    price: float

    def line(self, quantity: int) -> Body:
        return {"product_id": self.sku, "category": self.category, "price": self.price, "quantity": quantity}


@dataclass(slots=True)
class World:
    """What visits share: their chance, the articles, the orders that can be refunded, the newcomers so far."""

    chance: random.Random
    seed: int
    users: int
    products: tuple[Product, ...]
    weights: list[float]
    orders: deque[tuple[str, str, float]] = field(default_factory=lambda: deque(maxlen=ORDERS_KEPT))
    newcomers: int = 0
    ordered: int = 0

    def product(self) -> Product:
        [found] = self.chance.choices(self.products, cum_weights=self.weights)
        return found


def products(count: int, seed: int) -> tuple[Product, ...]:
    """The articles; the first are the most wanted."""
    chance = random.Random(f"{seed}-products")
    return tuple(
        Product(f"sku-{number:05}", chance.choice(CATEGORIES), round(min(900.0, 4 + chance.expovariate(1 / 45)), 2))
        for number in range(count)
    )


def customer(number: int) -> str:
    return f"customer-{number:07}"


def traits(seed: int, number: int) -> Body:
    """What the shop knows of a customer. Points change from visit to visit; the rest is the customer's own."""
    own = random.Random(f"{seed}-{number}")
    return {
        "email": f"{customer(number)}@example.com",
        "plan": own.choice(PLANS),
        "country": own.choice(COUNTRIES),
        "age": own.randint(18, 80),
        "marketing": own.random() < 0.6,
        "created_at": f"20{own.randint(15, 25)}-{own.randint(1, 12):02}-{own.randint(1, 28):02}",
    }


def visit(world: World, number: int) -> Iterator[Body]:
    """A customer comes, looks around, buys perhaps."""
    chance = world.chance
    who = {"userId": customer(number)}
    if chance.random() < 0.35:
        known = traits(world.seed, number)
        yield {"type": "identify", **who, "traits": {**known, "points": chance.randrange(0, 3_000, 50)}}
        yield _track(who, "Signed In", {"method": chance.choice(("password", "google", "apple"))})
    yield from _browse(world, who)
    if world.orders and chance.random() < 0.04:
        owner, order, total = world.orders[chance.randrange(len(world.orders))]
        share = chance.choice((1.0, 1.0, 0.5))
        yield _track({"userId": owner}, "Order Refunded", {"order_id": order, "total": round(total * share, 2)})


def newcomer(world: World) -> Iterator[Body]:
    """Somebody unknown comes; four in ten sign up, and are known from then on."""
    chance = world.chance
    world.newcomers += 1
    number = world.users + world.newcomers
    anonymous = {"anonymousId": f"visitor-{world.seed}-{number}"}
    yield _page(world, anonymous)
    for _ in range(chance.randint(0, 3)):
        yield _viewed(world.product(), anonymous)
    if chance.random() < 0.4:
        who = {"userId": customer(number), **anonymous}
        known = traits(world.seed, number)
        yield {"type": "identify", **who, "traits": {**known, "points": 0}}
        yield _track(who, "Signed Up", {"plan": known["plan"], "referrer": chance.choice(("search", "friend", "ad"))})
        yield from _browse(world, who)


def _browse(world: World, who: Body) -> Iterator[Body]:
    chance = world.chance
    cart: list[Body] = []
    yield _page(world, who)
    for _ in range(1 + int(chance.expovariate(1 / 4))):
        if chance.random() < 0.25:
            yield _track(who, "Product List Viewed", {"category": chance.choice(CATEGORIES)})
        article = world.product()
        yield _viewed(article, who)
        if chance.random() < 0.22:
            cart.append(article.line(chance.choice((1, 1, 1, 2, 3))))
            yield _track(who, "Product Added", cart[-1])
            if chance.random() < 0.1:
                yield _track(who, "Product Removed", cart.pop())
    if not cart:
        return
    yield _track(who, "Cart Viewed", {"products": cart})
    if chance.random() < 0.4:
        return
    world.ordered += 1
    order = f"order-{world.seed}-{world.ordered}"
    total = round(sum(each["price"] * each["quantity"] for each in cart), 2)
    money = {"order_id": order, "total": total, "currency": "EUR"}
    yield _track(who, "Checkout Started", {**money, "products": cart})
    if chance.random() < 0.2:
        return
    yield _track(who, "Order Completed", {**money, "products": cart, "coupon": chance.choice(COUPONS)})
    world.orders.append((who["userId"], order, total))


def _track(who: Body, name: str, properties: Body) -> Body:
    return {"type": "track", "event": name, **who, "properties": properties}


def _viewed(article: Product, who: Body) -> Body:
    return _track(who, "Product Viewed", {**article.line(1), "currency": "EUR"})


def _page(world: World, who: Body) -> Body:
    name = world.chance.choice(PAGES)
    path = f"/{name.lower()}"
    return {"type": "page", "name": name, **who, "properties": {"path": path, "url": f"https://shop.example{path}"}}
