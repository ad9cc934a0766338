"""Capacity follows from reports and an overlay, and says so where one of them lacks something."""

from pathlib import Path
from typing import Any

import pytest

from load_tests import capacity
from load_tests.capacity import BEGIN, END, NotEnough, Place, costs, cpus, places, put, reports, tables
from load_tests.figures import Result, shown, write

API = {"requests": {"cpu": "1000m"}, "limits": {"cpu": "2000m"}}
SCALING = {"enabled": True, "maxReplicas": 20}
VALUES: dict[str, Any] = {
    "services": {
        "ingest-api": {"replicas": 3, "resources": API, "autoscaling": SCALING},
        "segment-api": {"replicas": 3, "resources": API, "autoscaling": {"enabled": False}},
    },
    "workers": {"list": {"projection": {"replicas": 3, "resources": API, "autoscaling": SCALING}}},
    "flink": {"taskManager": {"replicas": 6, "resources": API}},
    "kafka": {
        "brokers": 3,
        "replicationFactor": 3,
        "retentionHours": 168,
        "resources": {"limits": {"cpu": 4}},
        "storage": {"size": "4Ti"},
    },
    "postgres": {"resources": {"limits": {"cpu": "8000m"}}},
}
PARTS = {
    "taskmanager-1": {"cpu_s": 5.0, "rss_mib": 400},
    "taskmanager-2": {"cpu_s": 5.0, "rss_mib": 400},
    "kafka": {"cpu_s": 1.0, "rss_mib": 500},
    "projection": {"cpu_s": 4.0, "rss_mib": 100},
    "postgres": {"cpu_s": 2.0, "rss_mib": 100},
    "disk_mib": {"kafka": 100.0, "postgres": 10.0},
    "taken": {"events": 100_000, "requests": 1_000, "seconds": 100},
}


def found(*, without: str = "") -> list[Result]:
    told = [
        Result("ingest", "", (shown("ingest-api: processor, batches of 100", "us", "lower", [20]),)),
        Result("api", "", (shown("segment-api: processor, memberships", "us", "lower", [80]),)),
        Result("engine", "", (), {"results": [{"rules": 1_000, "selected_an_event": 34.0, "state_bytes": 2_000}]}),
        Result("load-demo", "", (), {"parts": PARTS}),
    ]
    return [each for each in told if each.bench != without]


def test_costs_are_those_of_the_run() -> None:
    taken = costs(found())
    assert taken.events == {
        "ingest-api": 20,
        "rule evaluation": pytest.approx(100),
        "kafka": pytest.approx(10),
        "projection": pytest.approx(40),
        "postgres": pytest.approx(20),
    }
    assert taken.kafka_bytes == pytest.approx(1048.576)


@pytest.mark.parametrize(
    ("without", "command"),
    [("ingest", "bench-ingest"), ("api", "bench-api"), ("engine", "bench-engine"), ("load-demo", "load-demo")],
)
def test_a_missing_report_is_named(without: str, command: str) -> None:
    with pytest.raises(NotEnough, match=command):
        costs(found(without=without))


def test_what_is_used_while_idle_is_no_cost_of_an_event() -> None:
    idle = {part: {"cpu_s": used["cpu_s"] / 2} for part, used in PARTS.items() if "cpu_s" in used}
    slow = Result("load-smoke", "", (), {"parts": {**idle, "taken": {"events": 0, "requests": 0, "seconds": 100}}})
    taken = costs([*found(), slow])
    assert taken.marginal
    assert taken.events["rule evaluation"] == pytest.approx(50)
    assert not costs(found()).marginal


def test_a_cost_that_noise_has_hidden_is_refused() -> None:
    busy = {part: {"cpu_s": used["cpu_s"] * 2} for part, used in PARTS.items() if "cpu_s" in used}
    slow = Result("load-smoke", "", (), {"parts": {**busy, "taken": {"events": 10, "requests": 0, "seconds": 100}}})
    with pytest.raises(NotEnough, match="quiet"):
        costs([*found(), slow])


def test_a_short_run_says_nothing_of_costs() -> None:
    short = Result("load-smoke", "", (), {"parts": {**PARTS, "taken": {"events": 900, "seconds": 1}}})
    with pytest.raises(NotEnough, match="load-demo"):
        costs([*found(without="load-demo"), short])


def test_a_place_carries_what_its_cores_do() -> None:
    place = Place("x", replicas=3, most=20, cores=1.0)
    assert place.carries(70) == pytest.approx(30_000)
    assert place.carries(70, most=True) == pytest.approx(200_000)
    assert place.wanted(50_000, 70) == 5


def test_places_are_read_from_the_overlay() -> None:
    found = places(VALUES)
    assert (found["ingest-api"].replicas, found["ingest-api"].most, found["ingest-api"].cores) == (3, 20, 2.0)
    assert (found["segment-api"].most, found["segment-api"].cores) == (3, 1.0)
    assert (found["rule evaluation"].replicas, found["rule evaluation"].cores) == (6, 1.0)
    assert found["kafka"].cores == pytest.approx(4 / 3)
    with pytest.raises(NotEnough, match="workers"):
        places({each: value for each, value in VALUES.items() if each != "workers"})


def test_where_it_breaks_first_is_said() -> None:
    page = tables(costs(found()), places(VALUES), VALUES)
    # 6 x 0.7 / 100 us = 42,000 events/s; 3 x 0.7 / 80 us = 26,250 of 10,000 requests/s.
    assert "It breaks first in **rule evaluation**, at 42,000 events/s: 6 where 8 are wanted." in page
    assert "1,700,000 evaluations/s" in page
    assert "4Ti are given" in page
    for each in capacity.ASSUMED:
        assert each in page


def test_the_page_keeps_what_is_not_computed() -> None:
    page = f"# A\n{BEGIN}\nold\n{END}\nB\n"
    assert put(page, "new\n") == f"# A\n{BEGIN}\n\nnew\n\n{END}\nB\n"
    with pytest.raises(NotEnough, match="marks"):
        put("# A\n", "new")


def test_processors_are_read_as_kubernetes_writes_them() -> None:
    assert [cpus(each) for each in ("2000m", "2", 4, "500m")] == [2, 2, 4, 0.5]


def test_reports_of_other_shapes_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "engine.json", "engine", "", [])
    (tmp_path / "other.json").write_text('{"events_per_s": 1}')
    (tmp_path / "demo").mkdir()
    write(tmp_path / "demo/report.json", "load-demo", "", [])
    assert [each.bench for each in reports(tmp_path)] == ["engine", "load-demo"]
