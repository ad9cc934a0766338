"""The five sample segments: each as a rule, and again as a query, which says what its size must be.

The queries read a table ``orders (customer, at_ms, quantity, cents)``. ``:since_30d`` is the first millisecond that a
window of 30 days holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

ORDER: Final = "Order Completed"


@dataclass(frozen=True, slots=True)
class SampleSegment:
    """A segment to create, and the query that counts its members. `windows` are the days that the query asks for."""

    key: str
    name: str
    description: str
    rule: Mapping[str, Any]
    windows: tuple[int, ...]
    size_sql: str

    def body(self) -> dict[str, Any]:
        """What the segment API takes."""
        return {
            "key": self.key,
            "name": self.name,
            "description": self.description,
            "rule": self.rule,
            "tags": ["sample"],
            "status": "live",
        }


SEGMENTS: Final = (
    SampleSegment(
        key="repeat-buyers",
        name="Repeat buyers",
        description="Two orders or more in a year",
        rule={"event": ORDER, "within": "365d", "is": {"gte": 2}},
        windows=(365,),
        size_sql="""
            SELECT count(*) FROM (
                SELECT customer FROM orders WHERE at_ms >= :since_365d GROUP BY customer HAVING count(*) >= 2
            )""",
    ),
    SampleSegment(
        key="big-spenders",
        name="Big spenders",
        description="500 dollars or more in all",
        rule={"event": ORDER, "measure": {"sum": "total"}, "is": {"gte": 500}},
        windows=(),
        size_sql="""
            SELECT count(*) FROM (SELECT customer FROM orders GROUP BY customer HAVING sum(cents) >= 50000)""",
    ),
    SampleSegment(
        key="recent-buyers",
        name="Recent buyers",
        description="An order in the last 30 days",
        rule={"event": ORDER, "within": "30d"},
        windows=(30,),
        size_sql="SELECT count(DISTINCT customer) FROM orders WHERE at_ms >= :since_30d",
    ),
    SampleSegment(
        key="lapsed-buyers",
        name="Lapsed buyers",
        description="An order in the last 540 days, and none in the last 180",
        rule={"all": [{"event": ORDER, "within": "540d"}, {"not": {"event": ORDER, "within": "180d"}}]},
        windows=(540, 180),
        size_sql="""
            SELECT count(DISTINCT customer) FROM orders
            WHERE at_ms >= :since_540d
              AND customer NOT IN (SELECT customer FROM orders WHERE at_ms >= :since_180d)""",
    ),
    SampleSegment(
        key="loyal-customers",
        name="Loyal customers",
        description="Five orders or more, of 30 dollars or more on average",
        rule={
            "all": [
                {"event": ORDER, "is": {"gte": 5}},
                {"event": ORDER, "measure": {"avg": "total"}, "is": {"gte": 30}},
            ]
        },
        windows=(),
        size_sql="""
            SELECT count(*) FROM (
                SELECT customer FROM orders GROUP BY customer HAVING count(*) >= 5 AND sum(cents) >= 3000 * count(*)
            )""",
    ),
)
