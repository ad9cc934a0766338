"""The oracle: a slow, plain evaluator of the rule language, to hold every other evaluator against.

It decides each question from the complete list of a profile's events, with no state and
no cleverness, and shares no code with the product: nothing here imports `audience`.
It refuses to guess: a rule that `check.problems` finds fault with may raise anything.
"""

from tests.oracle.check import Catalog, computed_trait_problems, problems
from tests.oracle.check_values import Problem
from tests.oracle.evaluate import computed_value, member, trait_value, value
from tests.oracle.instants import candidate_times
from tests.oracle.world import Event, World, event_from_json, event_to_json, world_from_json, world_to_json

__all__ = [
    "Catalog",
    "Event",
    "Problem",
    "World",
    "candidate_times",
    "computed_trait_problems",
    "computed_value",
    "event_from_json",
    "event_to_json",
    "member",
    "problems",
    "trait_value",
    "value",
    "world_from_json",
    "world_to_json",
]
