"""The shop: the same for a seed, at its rate, with its shares, and nothing that the platform would not take."""

import json
from collections import Counter
from itertools import islice

import pytest
from msgspec import ValidationError

from audience.adapters.regex import compile_regex
from audience.events.normalise import NotValid
from audience.rules import parse_rule
from load_tests.selected import Index
from load_tests.shop import sinks
from load_tests.shop.generator import Sent, Shop, events, iso
from load_tests.shop.segments import segments

START_MS = 1_767_225_600_000


def some(count: int, shop: Shop | None = None, run: str = "") -> list[Sent]:
    return list(islice(events(shop or Shop(seed=3), run), count))


def test_the_same_seed_is_the_same_shop() -> None:
    assert some(2_000) == some(2_000)
    assert some(200) != some(200, Shop(seed=4))


def test_another_run_of_a_seed_is_no_copy() -> None:
    ids = [{each.body["messageId"] for each in some(500, run=run)} for run in ("a", "b")]
    assert not ids[0] & ids[1]


def test_the_rate_holds_from_the_first_event_on() -> None:
    found = some(3_000, Shop(rate_per_s=500))
    assert [each.due_ms for each in found] == sorted(each.due_ms for each in found)
    per_second = Counter(each.due_ms // 1000 for each in found)
    assert set(per_second.values()) == {500}


def test_shares_are_kept() -> None:
    shop = Shop(late_share=0.2, duplicate_share=0.1, bad_share=0.05, rate_per_s=50)
    kinds = Counter(each.kind for each in some(20_000, shop))
    assert kinds["bad"] / 20_000 == pytest.approx(0.05, abs=0.01)
    assert kinds["duplicate"] / 20_000 == pytest.approx(0.09, abs=0.02)
    late = sum(each.late_ms > 60_000 for each in some(20_000, shop))
    assert late / 20_000 == pytest.approx(0.2, abs=0.03)


def test_a_duplicate_is_what_was_sent_before_at_the_same_time() -> None:
    seen = {}
    copies = 0
    for each in some(20_000, Shop(duplicate_share=0.05)):
        body = each.at(START_MS)
        if each.kind == "duplicate":
            copies += 1
            first = seen[body["messageId"]]
            assert {**body, "sentAt": ""} == {**first, "sentAt": ""}
        else:
            assert body["messageId"] not in seen
            seen[body["messageId"]] = body
    assert copies > 100


def test_customers_are_by_zipf() -> None:
    def share(skew: float) -> float:
        by_user = Counter(each.body.get("userId") for each in some(20_000, Shop(users=1_000, skew=skew, rate_per_s=50)))
        return sum(count for _, count in by_user.most_common(10)) / 20_000

    assert share(0) < 0.05 < 0.25 < share(1.0) < share(1.5)


def test_a_visit_is_believable() -> None:
    found = some(50_000, Shop(rate_per_s=20))
    names = Counter(each.body.get("event") or each.body["type"] for each in found)
    assert names["Product Viewed"] > names["Product Added"] > names["Checkout Started"] > names["Order Completed"]
    assert names["Order Completed"] > names["Order Refunded"] > 0
    assert min(names["identify"], names["page"], names["Signed Up"]) > 0
    orders = {each.body["properties"]["order_id"] for each in found if each.body.get("event") == "Order Completed"}
    refunded = {each.body["properties"]["order_id"] for each in found if each.body.get("event") == "Order Refunded"}
    assert refunded <= orders


def test_the_platform_takes_what_is_good_and_names_the_fault_of_what_is_bad() -> None:
    faults = Counter[str]()
    for each in some(5_000, Shop(bad_share=0.1, late_share=0.1)):
        body = json.loads(json.dumps(each.at(START_MS)))
        received_ms = START_MS + each.due_ms
        if each.kind != "bad":
            record = sinks.record_of(body, "demo", "demo", received_ms)
            assert record.time_ms == received_ms - each.late_ms
            continue
        with pytest.raises((NotValid, ValidationError)) as caught:
            sinks.record_of(body, "demo", "demo", received_ms)
        assert getattr(caught.value, "code", "wrong_type") == each.code
        faults[each.code] += 1
    assert set(faults) == {"missing_id", "unknown_type", "bad_timestamp", "wrong_type"}


@pytest.mark.parametrize(
    "wrong", [{"late_share": 1.1}, {"users": 0}, {"rate_per_s": 0}, {"skew": -1}, {"bad_share": -0.1}]
)
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"share|users"):
        Shop(**wrong)  # type: ignore[arg-type]


def test_segments_are_rules_that_the_platform_takes() -> None:
    found = segments(300, 1)
    for segment in found:
        parse_rule(segment["rule"], regex=compile_regex)
    assert found[:50] == segments(50, 1)
    assert len({each["key"] for each in found}) == 300


def test_an_event_selects_the_rules_that_it_can_change() -> None:
    index = Index(
        [
            {"event": "A", "is": {"gte": 2}},
            {"all": [{"trait": "plan", "op": "eq", "value": "pro"}, {"not": {"event": "B", "within": "1h"}}]},
            {"sequence": [{"event": "A"}, {"event": "B", "within": "1h"}], "within": "7d"},
            {"event": "*", "type": "page"},
            {"trait": "address.city", "op": "exists"},
            {"segment": "other"},
        ]
    )
    assert index.count("track", "A") == 2
    assert index.count("track", "B") == 2
    assert index.count("track", "C") == 0
    assert index.count("page", "Home") == 1
    assert index.count("identify", "", {"plan": "x", "age": 3}) == 1
    assert index.count("identify", "", {"address": {}, "plan": "x"}) == 2
    assert (index.counted.events, index.counted.selected, index.counted.full) == (6, 8, 36)
    assert index.counted.an_event == pytest.approx(8 / 6)


def test_times_are_as_sdks_write_them() -> None:
    assert iso(START_MS + 7) == "2026-01-01T00:00:00.007Z"
