"""Hypothesis strategies for rules and histories: those of `tests.generate`, with choices that shrink.

Each gives the plain JSON of `tests.generate`; `world_of` and `catalog_of` turn it into what the oracle takes.
They refuse nothing.
"""

from hypothesis import strategies as st

from tests.generate import EVERYTHING, Features, Pair, broken_rule_from, catalog_of, disturbed, pair_from, world_of
from tests.oracle.choices import Choices
from tests.oracle.world import JsonObject

__all__ = ["Features", "broken_rules", "catalog_of", "disturbances", "instants_of", "pairs", "rules", "world_of"]


class DrawnChoices(Choices):
    """Choices that Hypothesis draws, and shrinks to the simplest."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))


@st.composite
def pairs(draw: st.DrawFn, features: Features = EVERYTHING) -> Pair:
    """A rule and a history to try it on."""
    return pair_from(DrawnChoices(draw), features)


@st.composite
def rules(draw: st.DrawFn, features: Features = EVERYTHING) -> JsonObject:
    """A valid rule alone; without lists, segments and computed traits it refers to nothing."""
    rule: JsonObject = pair_from(DrawnChoices(draw), features)["rule"]
    return rule


@st.composite
def disturbances(draw: st.DrawFn, pair: Pair) -> Pair:
    """The pair with its events in another order of arrival and other copies of them."""
    return disturbed(pair, DrawnChoices(draw))


@st.composite
def broken_rules(draw: st.DrawFn) -> Pair:
    """A pair whose rule has been spoiled, most likely; its events are gone."""
    return broken_rule_from(DrawnChoices(draw))


def instants_of(pair: Pair) -> st.SearchStrategy[int]:
    """Instants at which the pair's memberships are well defined."""
    return st.integers(pair["now_ms"], pair["until_ms"])
