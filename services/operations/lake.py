"""`audience-ops sql`: questions to the lake in SQL, for a person. Reads only, within bounds of memory and time."""

import csv
import sys
import time
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from audience.adapters.lake.duck import BadQuery, open_duck
from audience.adapters.lake.tables import (
    BRONZE,
    GOLD_EVENTS,
    GOLD_PROFILES,
    GOLD_SIZES,
    GOLD_VALUE,
    SILVER,
)
from audience.ports.lake import LakeTooSlow, LakeUnavailable
from services._kit.lake import LakeSettings
from services.operations.running import fail

VIEWS: Final = {
    SILVER: "events",
    BRONZE: "records",
    GOLD_EVENTS: "events_daily",
    GOLD_PROFILES: "active_profiles_daily",
    GOLD_SIZES: "segment_sizes_daily",
    GOLD_VALUE: "profile_value",
}


def sql(
    query: Annotated[str, typer.Argument(help=f"Over {', '.join(VIEWS.values())}: SQL as DuckDB has it.")],
    limit: Annotated[int, typer.Option(min=1, help="So many rows at most.")] = 100,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds that it may take.")] = 60.0,
    *,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV, for programs.")] = False,
) -> None:
    """Ask the lake in SQL. Nothing can be changed, and no file but the lake's can be read."""
    try:
        settings = LakeSettings()
    except ValidationError as error:
        fail(f"settings: {error.errors()[0]['msg']}")
    try:
        with open_duck(settings.lake, settings.lake_bounds) as duck:
            duck.offer(VIEWS)
            with duck.until(time.monotonic() + timeout_s):
                columns, rows = duck.answer(query, limit)
    except (BadQuery, LakeTooSlow, LakeUnavailable) as error:
        fail(str(error))
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows(rows)
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*("" if value is None else value for value in row))
    Console().print(table)
