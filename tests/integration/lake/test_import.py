"""Invoices imported through the normaliser into a lake: three recency-frequency segments beside pandas."""

import csv
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
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


def expected(file: Path) -> dict[str, set[str]]:
    """The three segments by pandas, which reads the file by itself. Windows of 31 days and more move by UTC days."""
    lines = pd.read_csv(file, dtype={"CustomerID": "string", "InvoiceNo": "string"})
    lines = lines[lines.CustomerID.notna() & ~lines.InvoiceNo.str.startswith("C")]
    lines["at"] = pd.to_datetime(lines.InvoiceDate, format="%m/%d/%Y %H:%M").dt.tz_localize("Europe/London")
    lines["total"] = [
        Decimal(str(price)) * quantity for price, quantity in zip(lines.UnitPrice, lines.Quantity, strict=True)
    ]
    lines = lines[lines["at"] <= NOW]

    def since(days: int) -> pd.DataFrame:
        return lines[lines["at"] >= pd.Timestamp(NOW).normalize() - pd.Timedelta(days=days)]

    def invoices(of: pd.DataFrame) -> pd.Series:
        return of.groupby("CustomerID").InvoiceNo.nunique()

    year = since(365)
    frequent, ever = invoices(year), invoices(lines)
    value = year.groupby("CustomerID").total.sum()
    return {
        "champions": set(since(90).CustomerID) & set(frequent[frequent >= 5].index) & set(value[value >= 1_000].index),
        "at-risk": set(ever[ever >= 3].index) - set(since(180).CustomerID),
        "new": set(since(60).CustomerID) & set(ever[ever <= 1].index),
    }


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


def test_segments_over_imported_invoices_are_those_of_pandas(file: Path, tmp_path: Path) -> None:
    found, tally = records(file)
    missing = sum(not row["CustomerID"] for row in csv.DictReader(file.read_text().splitlines()))
    assert tally.refused == {"missing_id": missing}
    assert tally.good == tally.rows - missing == len(found)
    location = location_in(tmp_path)
    assert fill(location, entries_of(found, {}), NOW_MS).copies == 0
    members = expected(file)
    for key, rule in SEGMENTS.items():
        asked = Preview("demo", parse_rule(rule, regex=compile_regex), NOW_MS)
        with closing(DuckLakeReader(location, BOUNDS)) as reader:
            answer = Previews(reader, compile_regex).preview(asked, lambda _: {}, 60)
        wanted = members[key]
        print(key, len(wanted), "of", len({record.profile_id for record in found}))
        assert answer.exact
        assert answer.size == len(wanted) > 0
        assert set(answer.sample) <= wanted
