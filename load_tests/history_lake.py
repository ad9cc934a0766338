"""A shop's history as a lake: so many events of so many profiles over half a year, seeded, straight into silver.

What each profile did is a function of its number, so that the sizes of segments are known by arithmetic in SQL.
"""

import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from audience.adapters.lake.duck import Bounds, open_duck
from audience.adapters.lake.silver import PROFILE_PLACE, put_rows
from audience.adapters.lake.tables import SCHEMAS, SILVER, LakeLocation

WORKSPACE: Final = "demo"
DAYS: Final = 180

# A twentieth of the events are orders, as in shops; the rest views, carts, pages, and identifies.
_DAY: Final = """
    SELECT * EXCLUDE (seed, kind), {place} AS profile_place FROM (
        SELECT '{workspace}' AS workspace, 'p' || profile AS profile_id, 'shop' AS source,
            'm' || number AS message_id, number AS message_place, seed, kind,
            CASE WHEN kind < 93 THEN 'track' WHEN kind < 98 THEN 'page' ELSE 'identify' END AS type,
            CASE WHEN kind < 5 THEN 'Order Completed' WHEN kind < 20 THEN 'Product Added'
                WHEN kind < 93 THEN 'Product Viewed' WHEN kind < 98 THEN 'Pricing' ELSE '' END AS name,
            make_timestamptz({day_us} + (seed % 86400000) * 1000) AS timestamp,
            make_timestamptz({day_us} + (seed % 86400000) * 1000) AS received_at,
            'p' || profile AS user_id, NULL AS anonymous_id, NULL AS group_id, NULL AS previous_id,
            CASE WHEN kind < 5 THEN '{{"order_id":"o' || number || '","total":' || (seed % 20000) / 100 || '}}'
                WHEN kind < 98 THEN '{{"product_id":"sku-' || seed % 5000 || '","category":"' ||
                    (CASE seed % 10 WHEN 0 THEN 'Shoes' WHEN 1 THEN 'Hats' ELSE 'Other' END) || '"}}' END AS properties,
            '{{"page":{{"path":"/p/' || seed % 5000 || '"}}}}' AS context,
            CASE WHEN kind >= 98 THEN '{{"plan":"' || (CASE seed % 20 WHEN 0 THEN 'pro' ELSE 'free' END) || '"}}' END
                AS traits,
            (profile % 8)::INTEGER AS "partition", number AS "offset", DATE '{day}' AS "day"
        FROM (
            SELECT number, (hash(number) >> 1)::BIGINT % 1000000007 AS seed,
                ((hash(number + 1) >> 1) % 100)::INTEGER AS kind,
                ((hash(number + 2) >> 1) % {profiles})::BIGINT AS profile
            FROM range({first}, {end}) AS numbers (number)
        )
    ) ORDER BY profile_place, timestamp
"""


def make(location: LakeLocation, events: int, profiles: int, now_ms: int) -> None:
    """Fill an empty lake with history up to `now_ms`; some seconds a million events."""
    began_s = time.monotonic()
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    columns = ", ".join(f'"{name}"' for name in SCHEMAS[SILVER].names)
    with open_duck(location, Bounds(memory_mb=1_024)) as duck:
        for index in range(DAYS):
            day = today - timedelta(days=DAYS - index)
            begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
            sql = _DAY.format(
                place=PROFILE_PLACE,
                workspace=WORKSPACE,
                profiles=profiles,
                day=day.isoformat(),
                day_us=int(begin.timestamp()) * 1_000_000,
                first=events * index // DAYS,
                end=events * (index + 1) // DAYS,
            )
            put_rows(location, duck.arrow(f"SELECT {columns} FROM ({sql})"), now_ms if index == DAYS - 1 else 0)  # noqa: S608
    print(f"  {events:,} events made in {time.monotonic() - began_s:.0f} s", file=sys.stderr)
