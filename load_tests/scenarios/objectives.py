"""The service levels of an install, as data, and their judgement.

The two columns are those of the platform's published tables: what a demo and what a production install serve. Each
latency is that of 95 in 100 over the judged seconds; the report shows 50 and 99 in 100 beside it. What an objective
stands for, seen from outside the platform:

- *Event ingestion*: events answered with 200. *API requests*: requests of the segment API answered as they should be.
- *Rule evaluations*: live rules that the events select (`load_tests.selected`), not rules x events.
- *Event processing*: the canary's time from the request with its event to the membership that can be read.
- *Rule evaluation*: an explanation, for which the job evaluates one rule of one profile, there and back through Kafka.
- *Cache access*: the memberships of one profile, from the serving store, with its HTTP request.
- *Database query*: sizes, members and lists of segments, which PostgreSQL answers, with their HTTP requests.

The tables' data storage (5 GB, 10 TB) is not something that a run of minutes can show, and is not judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from load_tests.scenarios.plan import Column, Scenario

Judgement = Literal["pass", "FAIL", "not measured"]
QUANTILE: Final = 0.95
DELIVERED: Final = 0.99
"""Of a rate: a request more or less at the edges of the judged seconds decides nothing."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One row of the tables. `least`: at least this much; otherwise at most. `scales` with the scenario's rates."""

    name: str
    measure: str
    unit: str
    least: bool
    demo: float
    production: float
    scales: bool = False

    def limit(self, column: Column, scale: float) -> float:
        wanted = self.demo if column == "demo" else self.production
        return wanted * scale if self.scales else wanted


OBJECTIVES: Final = (
    Objective("Event ingestion", "events_per_s", "events/s", least=True, demo=500, production=50_000, scales=True),
    Objective("API requests", "requests_per_s", "requests/s", least=True, demo=100, production=10_000, scales=True),
    Objective(
        "Rule evaluations",
        "evaluations_per_s",
        "evaluations/s",
        least=True,
        demo=1_000,
        production=100_000,
        scales=True,
    ),
    Objective("Concurrent users", "users", "users", least=True, demo=20, production=10_000, scales=True),
    Objective("API response", "api_ms", "ms", least=False, demo=500, production=200),
    Objective("Event processing", "canary_ms", "ms", least=False, demo=1_000, production=100),
    Objective("Rule evaluation", "explain_ms", "ms", least=False, demo=200, production=50),
    Objective("Cache access", "memberships_ms", "ms", least=False, demo=20, production=5),
    Objective("Database query", "database_ms", "ms", least=False, demo=300, production=100),
    Objective("Errors", "faults", "requests", least=False, demo=0, production=0),
    Objective("Canaries that did not arrive", "canary_faults", "events", least=False, demo=0, production=0),
)
"""The last two are not in the tables: a load that is refused, or does not arrive, was not carried."""

SOAK: Final = (
    Objective("Lag, growth an hour", "lag_slope", "records/h", least=False, demo=1_000, production=1_000),
    Objective("Largest growth of memory", "rss_slope", "% an hour", least=False, demo=5, production=5),
    Objective("Restarts", "restarts", "processes", least=False, demo=0, production=0),
)
"""What a soak must show besides; known of a platform on this machine alone."""


@dataclass(frozen=True, slots=True)
class Row:
    """An objective, what was measured (None: nothing), and what follows."""

    objective: Objective
    limit: float
    measured: float | None
    judgement: Judgement


def judge(scenario: Scenario, measured: Mapping[str, float | None], objectives: Sequence[Objective]) -> list[Row]:
    """The rows. What a measure lacks is no pass."""
    rows = []
    for objective in objectives:
        limit = objective.limit(scenario.column, scenario.scale)
        value = measured.get(objective.measure)
        rows.append(Row(objective, limit, value, _judgement(objective, limit, value)))
    return rows


def _judgement(objective: Objective, limit: float, value: float | None) -> Judgement:
    if value is None:
        return "not measured"
    if objective.least:
        return "pass" if value >= limit * (DELIVERED if objective.scales else 1) else "FAIL"
    return "pass" if value <= limit else "FAIL"


def passed(rows: Sequence[Row]) -> bool:
    """Whether every objective is met; one that was not measured is not."""
    return all(row.judgement == "pass" for row in rows)
