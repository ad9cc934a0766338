"""The sample's queries against the same counts written out in Python, and the history itself."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from local.layout import Layout
from local.sample import history
from local.sample.expected import ExpectedSizes
from local.sample.history import Purchase
from local.sample.panes import DAY_MS, window_start_ms
from local.sample.segments import SEGMENTS
from local.settings import ROOT

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
NOW_MS = int(NOW.timestamp()) * 1000


def order(customer: str, days_ago: int, cents: int = 1000) -> Purchase:
    return Purchase(1, customer, NOW.date() - timedelta(days=days_ago), 1, cents)


def sizes(orders: Sequence[Purchase]) -> dict[str, int]:
    with ExpectedSizes(orders, timedelta(0)) as truth:
        return dict(truth.at(NOW_MS, SEGMENTS))


def test_a_customer_of_each_kind() -> None:
    nothing = dict.fromkeys((segment.key for segment in SEGMENTS), 0)
    assert sizes([order("a", 400)]) == nothing | {"lapsed-buyers": 1}
    assert sizes([order("a", 30)]) == nothing | {"recent-buyers": 1}
    assert sizes([order("a", 31)]) == nothing
    assert sizes([order("a", 100), order("a", 364)]) == nothing | {"repeat-buyers": 1}
    assert sizes([order("a", 100), order("a", 366)]) == nothing
    assert sizes([order("a", 600, 49_999)]) == nothing
    assert sizes([order("a", 600, 49_999), order("a", 599, 1)])["big-spenders"] == 1
    assert sizes([order("a", 100, 3000)] * 5)["loyal-customers"] == 1
    assert sizes([*[order("a", 100, 3000)] * 4, order("a", 100, 2999)])["loyal-customers"] == 0


def test_an_order_at_noon_leaves_with_the_hour_of_a_short_window_and_the_day_of_a_long_one() -> None:
    noon_ms = int(datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()) * 1000
    with ExpectedSizes([Purchase(1, "a", date(2026, 1, 1), 1, 1)], timedelta(0)) as truth:
        [recent] = [segment for segment in SEGMENTS if segment.key == "recent-buyers"]
        assert truth.at(noon_ms + 30 * DAY_MS + 3_599_999, [recent]) == {"recent-buyers": 1}
        assert truth.at(noon_ms + 30 * DAY_MS + 3_600_000, [recent]) == {"recent-buyers": 0}


@pytest.fixture(scope="module")
def purchases() -> list[Purchase]:
    return history.read(Layout(ROOT, ROOT).sample_file)


def test_the_history_is_whole(purchases: Sequence[Purchase]) -> None:
    assert len(purchases) == 69_659
    assert len({each.customer for each in purchases}) == 23_570
    assert len({each.message_id for each in purchases}) == 69_659
    assert purchases[0] == Purchase(1, "00001", date(1997, 1, 1), 1, 1177)


def test_the_last_purchase_is_moved_to_the_day_that_is_asked_for(purchases: Sequence[Purchase]) -> None:
    shift = history.shift_to(purchases, date(2026, 2, 28))
    assert max(each.at(shift) for each in purchases) == datetime(2026, 2, 28, 12, tzinfo=UTC)


def test_no_sample_segment_is_empty_or_everybody(purchases: Sequence[Purchase]) -> None:
    shift = history.shift_to(purchases, NOW.date() - timedelta(days=1))
    with ExpectedSizes(purchases, shift) as truth:
        found = truth.at(NOW_MS, SEGMENTS)
    assert all(100 < size < 20_000 for size in found.values()), found
    assert len(set(found.values())) == len(found)


def test_the_queries_agree_with_the_counts_written_out(purchases: Sequence[Purchase]) -> None:
    shift = history.shift_to(purchases, NOW.date() - timedelta(days=1))
    with ExpectedSizes(purchases, shift) as truth:
        found = truth.at(NOW_MS, SEGMENTS)
    of: dict[str, list[tuple[float, int]]] = {}
    for each in purchases:
        of.setdefault(each.customer, []).append((each.at(shift).timestamp() * 1000, each.cents))
    start = {days: window_start_ms(NOW_MS, days * DAY_MS) for days in (30, 180, 365, 540)}

    def within(orders: list[tuple[float, int]], days: int) -> int:
        return sum(at >= start[days] for at, _ in orders)

    def cents(orders: list[tuple[float, int]]) -> int:
        return sum(each for _, each in orders)

    everybody = list(of.values())
    assert found == {
        "repeat-buyers": sum(within(orders, 365) >= 2 for orders in everybody),
        "big-spenders": sum(cents(orders) >= 50_000 for orders in everybody),
        "recent-buyers": sum(within(orders, 30) >= 1 for orders in everybody),
        "lapsed-buyers": sum(within(orders, 540) >= 1 and within(orders, 180) == 0 for orders in everybody),
        "loyal-customers": sum(len(o) >= 5 and cents(o) >= 3000 * len(o) for o in everybody),
    }


@pytest.mark.parametrize("line", ["00001 19970101 1", "00001 1997-13-01 1 1.00", "00001 19970101 one 1.00", "x y z w"])
def test_a_line_of_another_shape_is_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "history.txt"
    file.write_text(f" customer date n dollars\n {line}\n")
    with pytest.raises(history.WrongHistory, match="line 2"):
        history.read(file)
