"""Scenarios: what is due when, what is recorded, and how it is judged."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from load_tests.scenarios import measuring
from load_tests.scenarios.measuring import Canary, Found, Run, growth, measures, second_of, slope
from load_tests.scenarios.objectives import OBJECTIVES, SOAK, judge, passed
from load_tests.scenarios.plan import DEMO, PRODUCTION, SCENARIOS, Phase, Scenario, due_times
from load_tests.scenarios.recording import Recording, quantile

SHORT = replace(DEMO, phases=(Phase(2, 0.5, 1.0, judged=False), Phase(10, 1, 1)))


def test_a_steady_rate_is_even() -> None:
    due = list(due_times((Phase(10, 1, 1),), 5, 0.25))
    assert len(due) == 50
    assert due[:3] == pytest.approx([0.05, 0.25, 0.45])


def test_a_ramp_sends_what_lies_under_it() -> None:
    due = list(due_times((Phase(10, 0, 1), Phase(10, 1, 0)), 100, 0.0))
    assert len(due) == 1_000
    by_second = Counter(int(each) for each in due)
    assert [by_second[second] for second in (0, 4, 9, 10, 19)] == pytest.approx([5, 45, 95, 95, 5], abs=2)
    assert due == sorted(due)


def test_users_out_of_step_send_the_whole_together() -> None:
    due = [each for user in range(20) for each in due_times(SHORT.phases, 500 / 20, user / 20)]
    assert len(due) == pytest.approx(500 * 10 + 500 * 0.75 * 2, abs=20)


def test_a_scenario_knows_what_is_judged() -> None:
    assert [SHORT.judged(second) for second in (0, 1, 2, 11, 12)] == [False, False, True, True, False]
    assert SHORT.share_at(0) == 0.5
    assert SHORT.share_at(1) == 0.75
    assert SHORT.share_at(12) == 0
    assert SHORT.lasting(24).seconds == 24
    with pytest.raises(ValueError, match="judged"):
        replace(DEMO, phases=(Phase(1, 1, 1, judged=False),))


def test_scaling_keeps_the_shape() -> None:
    tenth = PRODUCTION.scaled(0.1)
    assert (tenth.events_per_s, tenth.requests_per_s, tenth.users, tenth.scale) == (5_000, 1_000, 1_000, 0.1)
    assert tenth.phases == PRODUCTION.phases


def test_the_columns_are_those_of_the_published_tables() -> None:
    told = {each.measure: (each.demo, each.production) for each in OBJECTIVES}
    assert told["events_per_s"] == (500, 50_000)
    assert told["requests_per_s"] == (100, 10_000)
    assert told["evaluations_per_s"] == (1_000, 100_000)
    assert told["users"] == (20, 10_000)
    assert told["api_ms"] == (500, 200)
    assert told["canary_ms"] == (1_000, 100)
    assert told["explain_ms"] == (200, 50)
    assert told["memberships_ms"] == (20, 5)
    assert told["database_ms"] == (300, 100)
    assert (DEMO.events_per_s, DEMO.requests_per_s, DEMO.users) == (500, 100, 20)
    assert set(SCENARIOS) == {"smoke", "demo", "production-shape", "spike", "soak", "mixed"}


def recorded(scenario: Scenario, *, latency_s: float = 0.01, faults: int = 0) -> Found:
    recording = Recording()
    for second in range(int(scenario.seconds)):
        for number in range(50):
            cell = recording.take(second, "batch of events", latency_s, 0.001, "", events=10)
            cell.selected += 40
            cell.full += 500
            if number < 2 * 10:
                for kind in ("memberships", "size", "explain"):
                    recording.take(second, kind, latency_s, 0.001)
        for _ in range(40):
            recording.take(second, "lookup", latency_s, 0.001)
    for _ in range(faults):
        recording.take(5, "size", 0.01, 0.001, "503")
    return Found(recording, (Canary(3.0, 0.08, ""), Canary(7.0, 0.09, "")), ())


def test_a_platform_that_carries_the_load_passes() -> None:
    measured = measures(SHORT, recorded(SHORT))
    assert measured["events_per_s"] == 500
    assert measured["requests_per_s"] == 100
    assert measured["evaluations_per_s"] == 2_000
    assert measured["full_per_s"] == 25_000
    rows = judge(SHORT, measured, OBJECTIVES)
    assert passed(rows), [row for row in rows if row.judgement != "pass"]


@pytest.mark.parametrize(
    ("found", "measure"),
    [
        (recorded(SHORT, latency_s=0.6), "api_ms"),
        (recorded(SHORT, latency_s=0.021), "memberships_ms"),
        (recorded(SHORT, faults=1), "faults"),
        (replace(recorded(SHORT), canaries=(Canary(3.0, 1.5, ""),)), "canary_ms"),
        (replace(recorded(SHORT), canaries=(Canary(3.0, 0.1, ""), Canary(4, 60, "gone"))), "canary_faults"),
        (replace(recorded(SHORT), canaries=()), "canary_ms"),
    ],
)
def test_what_fails_is_named(found: Found, measure: str) -> None:
    rows = judge(SHORT, measures(SHORT, found), OBJECTIVES)
    assert not passed(rows)
    assert measure in [row.objective.measure for row in rows if row.judgement != "pass"]


def test_a_load_that_did_not_reach_its_rate_fails() -> None:
    rows = judge(SHORT, measures(SHORT, recorded(replace(SHORT, phases=(Phase(11, 1, 1),)))), OBJECTIVES)
    short = {row.objective.measure for row in rows if row.judgement == "FAIL"}
    assert "events_per_s" in short


def test_refusals_in_a_spike_are_no_faults_but_afterwards_they_are() -> None:
    spike = replace(SHORT, refusals=True)
    for second, faults in ((0, 0), (5, 1)):
        found = recorded(spike)
        found.recording.take(second, "size", 0.01, 0.001, "429")
        assert measures(spike, found)["faults"] == faults
    found = recorded(spike)
    found.recording.take(0, "size", 0.01, 0.001, "500")
    assert measures(spike, found)["faults"] == 1


def test_the_production_column_scales_with_the_rates_alone() -> None:
    limits = {row.objective.measure: row.limit for row in judge(PRODUCTION.scaled(0.1), {}, OBJECTIVES)}
    assert limits["events_per_s"] == 5_000
    assert limits["api_ms"] == 200


def test_quantiles_lie_within_two_percent() -> None:
    recording = Recording()
    for ms in range(1, 1001):
        recording.take(0, "a", ms / 1000, 0)
    buckets = recording.total().buckets
    for share in (0.5, 0.95, 0.99):
        assert quantile(buckets, share) == pytest.approx(1000 * share, rel=0.02)
    assert quantile(Counter(), 0.5) is None


def test_a_recording_is_read_in_parts_and_without_a_broken_end(tmp_path: Path) -> None:
    recording = Recording()
    recording.take(1, "a", 0.01, 0.0, "503").selected += 3
    recording.take(1, "a", 0.02, 0.0, "", events=7)
    file = tmp_path / "load-0.jsonl"
    [line] = recording.lines()
    file.write_text(f"{line}\n{line}\n{line[:40]}")
    twice = Recording()
    twice.read(file)
    cell = twice.cells[1, "a"]
    assert (cell.requests, cell.events, cell.selected, cell.faults) == (4, 14, 6, Counter({"503": 2}))
    assert cell.buckets.total() == 4


def test_a_break_does_not_count() -> None:
    runs = [Run(1_000.0, 0.0), Run(5_000.0, 300.0)]
    assert second_of(runs, 1_010.0) == 10
    assert second_of(runs, 5_010.0) == 310


def test_what_grows_is_found(tmp_path: Path) -> None:
    assert slope([(each, 3.0 * each + (500 if each == 7 else 0)) for each in range(50)]) == pytest.approx(3)
    looks = [
        {
            "at": 1_000.0 + second,
            "rss_mib": {"steady": 100.0, "leak": 100 + second / 36},
            "cpu_s": {"steady": 0, "leak": 0},
            "pids": {"steady": 1, "leak": 2 if second < 500 else 3},
            "lag": {"a": second % 20, "b": None},
        }
        for second in range(0, 1_000, 10)
    ]
    (tmp_path / "runs.json").write_text(json.dumps([{"begins_at": 1_000.0, "skip_s": 0.0}]))
    (tmp_path / "observed.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in looks))
    found = measuring.load(tmp_path)
    grown = growth(found.observed)
    assert grown["steady"] == 0
    assert grown["leak"] == pytest.approx(100 * 100 / 114, rel=0.03)
    measured = measures(SHORT, found)
    assert measured["restarts"] == 1
    assert abs(measured["lag_slope"] or 0) < 1
    rows = judge(SHORT, measured, SOAK)
    assert [row.judgement for row in rows] == ["pass", "FAIL", "FAIL"]
