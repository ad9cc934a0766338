"""Each number of the comparison of production and demo is where it must be in the rendered overlay."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from local.settings import ROOT
from tests.chart.rendering import NAMESPACES, at, one, rendered

TABLES = yaml.safe_load(Path(__file__).with_name("seed.yaml").read_text())
ROWS = [(table, row) for table, rows in TABLES.items() if table != "namespaces" for row in rows]
SIZING = ROOT / "docs/operations/sizing.md"


def test_namespaces() -> None:
    assert TABLES["namespaces"] == NAMESPACES


@pytest.mark.parametrize(("table", "row"), ROWS, ids=[f"{t}-{r['column']}-{r['row']}" for t, r in ROWS])
def test_a_number_of_the_tables(table: str, row: dict[str, Any]) -> None:
    resource, path = row["find"].split(" ", 1)
    kind, name = resource.split("/")
    found = at(one(rendered(row["column"]), kind, name), path)
    if "is" in row:
        assert found == row["is"]
    else:
        assert row["holds"] in found


def test_what_is_not_as_the_tables_say_stands_in_sizing() -> None:
    page = SIZING.read_text()
    for _table, row in ROWS:
        if "nearest" in row:
            assert row["because"] in page, row
