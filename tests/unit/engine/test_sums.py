"""Sums that outgrow what is kept running between looks at them stay exact."""

import pytest

from audience.engine.evaluate import Event, on_event
from audience.engine.program import Program
from audience.rules import parse_rule
from audience.wire.state import new_state
from tests.engine_stream import REGEX, Arrival

NOW_MS = 1_790_000_000_000
LARGE = 9_007_199_254
"""The largest whole number that is noted with an event; a thousand of them are more than 64 bits of millionths."""


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_of_a_thousand_large_numbers_is_exact(sign: int) -> None:
    bound = {"gte": 1_100 * LARGE} if sign == 1 else {"lte": -1_100 * LARGE}
    program = Program(REGEX)
    rule = {"event": "Order", "measure": {"sum": "total"}, "is": bound}
    program.put("large", parse_rule(rule, regex=REGEX), version=1, revision=1)
    state = new_state("ada")
    for number in range(1, 1_101):
        properties = {"total": sign * LARGE}
        arrival = Arrival("demo", "ada", "s1", f"m{number}", "track", "Order", NOW_MS, NOW_MS, properties, {}, {})
        on_event(program, state, Event.of(arrival), NOW_MS)
        assert ("large" in state) == (number == 1_100)
