"""Invoices imported through the normaliser into a lake: three recency-frequency segments beside plain arithmetic."""

import csv
import time
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from audience.adapters.lake.histories import DuckLakeReader
from audience.adapters.regex import compile_regex
from audience.events.normalise import Envelope, normalise
from audience.rules import parse_rule
from audience.wire.topics import EventRecord
from services.operations.importing import command
from services.operations.importing.mapping import built_in, read_mapping
from services.operations.importing.rows import Source
from services.segments.previewing import Preview, Previews
from tests.integration.lake import retail
from tests.integration.lake.lakes import BOUNDS, entries_of, fill, location_in

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1_000)
PURCHASED = "Product Purchased"
SEGMENTS: dict[str, dict[str, Any]] = {
    "champions": {
        "all": [
            {"event": PURCHASED, "within": "90d"},
            {"event": PURCHASED, "within": "365d", "measure": {"distinct": "order_id"}, "is": {"gte": 5}},
            {"event": PURCHASED, "within": "365d", "measure": {"sum": "total"}, "is": {"gte": 1000}},
        ]
    },
    "at-risk": {
        "all": [
            {"event": PURCHASED, "measure": {"distinct": "order_id"}, "is": {"gte": 3}},
            {"event": PURCHASED, "within": "180d", "is": {"eq": 0}},
        ]
    },
    "new": {
        "all": [
            {"event": PURCHASED, "within": "60d"},
            {"event": PURCHASED, "measure": {"distinct": "order_id"}, "is": {"lte": 1}},
        ]
    },
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("retail") / "online_retail.csv"
    retail.write(path, NOW.replace(tzinfo=None))
    return path


def purchases(file: Path) -> dict[str, list[tuple[datetime, str, Decimal]]]:
    """What each customer bought: when, on which invoice, for how much. Read without the importer."""
    found = defaultdict(list)
    for row in csv.DictReader(file.open()):
        if row["CustomerID"] and not row["InvoiceNo"].startswith("C"):
            at = datetime.strptime(row["InvoiceDate"], "%m/%d/%Y %H:%M").replace(tzinfo=ZoneInfo("Europe/London"))
            found[row["CustomerID"]].append((at, row["InvoiceNo"], int(row["Quantity"]) * Decimal(row["UnitPrice"])))
    return found


def expected(bought: list[tuple[datetime, str, Decimal]], key: str) -> bool:
    """The three segments in plain words. Windows of 31 days and more move by whole UTC days."""
    today = NOW.replace(hour=0)

    def since(days: int) -> list[tuple[datetime, str, Decimal]]:
        return [each for each in bought if today - timedelta(days=days) <= each[0] <= NOW]

    if key == "champions":
        year = since(365)
        return bool(since(90)) and len({each[1] for each in year}) >= 5 and sum(each[2] for each in year) >= 1_000
    if key == "at-risk":
        return len({each[1] for each in bought if each[0] <= NOW}) >= 3 and not since(180)
    return bool(since(60)) and len({each[1] for each in bought if each[0] <= NOW}) <= 1


def records(file: Path) -> tuple[list[EventRecord], command.Tally]:
    """What ingest-api would put into the topic for the file: the same normaliser, later."""
    tally = command.Tally()

    class Kept:
        def add(self, *_: object) -> None: ...

    events = command._judged(
        Source.of(str(file), None, "utf-8", ","), read_mapping(built_in("uci-online-retail")), tally, Kept(),  # type: ignore[arg-type]
        lambda _: None,
    )  # fmt: skip
    envelope = Envelope("demo", "retail", NOW_MS, str)
    return [normalise(msgspec.convert(event, command.SentEvent), envelope, EventRecord) for event in events], tally


def test_segments_over_imported_invoices_are_those_of_plain_arithmetic(file: Path, tmp_path: Path) -> None:
    found, tally = records(file)
    missing = sum(not row["CustomerID"] for row in csv.DictReader(file.open()))
    assert tally.refused == {"missing_id": missing}
    assert tally.good == tally.rows - missing == len(found)
    location = location_in(tmp_path)
    assert fill(location, entries_of(found, {}), NOW_MS).copies == 0
    bought = purchases(file)
    for key, rule in SEGMENTS.items():
        asked = Preview("demo", parse_rule(rule, regex=compile_regex), NOW_MS)
        with closing(DuckLakeReader(location, BOUNDS)) as reader:
            answer = Previews(reader, compile_regex).preview(asked, lambda _: {}, time.monotonic() + 60)
        wanted = {customer for customer, lines in bought.items() if expected(lines, key)}
        print(key, len(wanted), "of", len(bought))
        assert answer.exact
        assert answer.size == len(wanted) > 0
        assert set(answer.sample) <= wanted
