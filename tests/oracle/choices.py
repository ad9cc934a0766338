"""Where generated rules and histories take their chances from: a seed, or a tool that can shrink them.

Smaller integers and earlier options are the simpler ones, and `chance` is False at its simplest.
It refuses empty options, as `Sequence.__getitem__` does.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Choices(ABC):
    """One kind of choice, and those made of it."""

    @abstractmethod
    def integer(self, low: int, high: int) -> int:
        """An integer in low … high, each as likely as the next."""

    def chance(self, percent: int) -> bool:
        """True that often."""
        return self.integer(0, 99) >= 100 - percent

    def pick(self, options: Sequence[T]) -> T:
        """One of them, each as likely as the next."""
        return options[self.integer(0, len(options) - 1)]

    def weighted(self, options: Sequence[tuple[int, T]]) -> T:
        """One of (weight, option)."""
        at = self.integer(0, sum(weight for weight, _ in options) - 1)
        for weight, option in options:
            at -= weight
            if at < 0:
                return option
        raise AssertionError("the weights do not add up")

    def some(self, low: int, high: int, options: Sequence[T]) -> list[T]:
        """A list of low … high of them, the same one more than once perhaps."""
        return [self.pick(options) for _ in range(self.integer(low, high))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in another order."""
        left, order = list(items), []
        while left:
            order.append(left.pop(self.integer(0, len(left) - 1)))
        return order


class SeededChoices(Choices):
    """Choices that a seed decides: fast, and the same on every machine."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - tests need a seed, not a secret

    def integer(self, low: int, high: int) -> int:
        return low + int(self._random.random() * (high - low + 1))
