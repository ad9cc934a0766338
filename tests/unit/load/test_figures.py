"""Figures, their verdicts and their comparison: a slower commit must be seen, noise must not."""

import json
import time
from pathlib import Path

import pytest

from load_tests import compare, figures
from load_tests.bench import Bench, Left, markdown, missed, run
from load_tests.figures import Figure, NotFigures, Result, figure, shown
from load_tests.machine import machine, processor_of

EVENTS = "engine: events, 1,000 rules"
COST = "engine: cost of 5,000 rules beside 10"


def result(*figures: Figure) -> list[Result]:
    return [Result("bench", "make bench", figures)]


@pytest.mark.parametrize(
    ("name", "runs", "verdict"),
    [
        (EVENTS, [60_000, 50_000, 20_000], "target"),
        (EVENTS, [49_999], "floor"),
        (EVENTS, [30_000], "floor"),
        (EVENTS, [29_999], "missed"),
        (COST, [1.5], "target"),
        (COST, [1.51], "floor"),
        (COST, [2.01], "missed"),
    ],
)
def test_a_figure_reaches_its_target_its_floor_or_neither(name: str, runs: list[float], verdict: str) -> None:
    assert figure(name, runs).verdict == verdict


def test_a_figure_without_a_target_is_only_shown() -> None:
    assert shown("anything", "us", "lower", [1]).verdict == "shown"


def test_a_name_without_a_target_is_refused() -> None:
    with pytest.raises(KeyError):
        figure("engine: evnts", [1])


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    wrote = figures.write(file, "engine", "make bench-engine", [figure(EVENTS, [1, 2, 9])], seconds=3, details={"a": 1})
    [read] = figures.read(file)
    assert read == wrote
    assert read.figures[0].value == 2
    assert read.machine["cores"] >= 1


def test_a_summary_is_read_as_its_results(tmp_path: Path) -> None:
    one = figures.write(tmp_path / "one.json", "one", "", [figure(EVENTS, [1])])
    file = tmp_path / "summary.json"
    file.write_text(json.dumps({"schema": "summary/1", "results": [one.to_json(), one.to_json()]}))
    assert figures.read(file) == [one, one]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "figures/2"}', '{"results": [{}]}', '{"events_per_s": 3}']
)
def test_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(NotFigures):
        figures.read(file)


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ([100, 101, 102], [80, 81, 82], "worse"),  # lower by a fifth, and the ranges lie apart
        ([100, 101, 102], [120, 121, 122], "better"),
        ([100, 101, 102], [97, 98, 99], "same"),  # less than 5%
        ([60, 100, 140], [70, 80, 90], "same"),  # within the noise
        ([100], [80], "same"),  # measured once: no range, so a quarter decides
        ([100], [70], "worse"),
        ([100, 101, 102], [70], "worse"),
    ],
)
def test_a_change_counts_beyond_the_noise(before: list[float], after: list[float], change: str) -> None:
    [found] = compare.compare(result(figure(EVENTS, before)), result(figure(EVENTS, after)))
    assert found.change == change


def test_for_a_cost_more_is_worse() -> None:
    [found] = compare.compare(result(figure(COST, [1.0, 1.0])), result(figure(COST, [2.0, 2.0])))
    assert (found.change, found.ratio) == ("worse", 2.0)


def test_what_is_on_one_side_alone_is_shown_as_such() -> None:
    found = compare.compare(result(figure(EVENTS, [1])), result(figure(COST, [1])))
    assert [(each.name, each.change) for each in found] == [(EVENTS, "gone"), (COST, "new")]


def test_the_command_tells_by_its_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fast, slow = tmp_path / "fast.json", tmp_path / "slow.json"
    figures.write(fast, "engine", "", [figure(EVENTS, [100, 101])])
    figures.write(slow, "engine", "", [figure(EVENTS, [50, 51])])
    assert compare.main([str(fast), str(fast)]) == 0
    assert compare.main([str(fast), str(slow)]) == 1
    assert compare.main([str(slow), str(fast)]) == 0
    assert compare.main([str(fast), str(tmp_path / "none.json")]) == 2
    assert f"worse: {EVENTS}" in capsys.readouterr().out


def test_a_summary_names_what_is_missing() -> None:
    page = markdown(result(figure(EVENTS, [10])), [Left("job", "there is no such benchmark")], 60)
    assert f"| {EVENTS} | 10 events/s a core | 50,000 | 30,000 | **missed** |" in page
    assert f"| {COST} | - | 1.5 | 2 | not measured |" in page
    assert "- job: there is no such benchmark" in page
    assert [each.name for each in missed(result(figure(EVENTS, [10]), figure(COST, [1])))] == [EVENTS]


@pytest.mark.parametrize(
    ("bench", "why"),
    [
        (Bench("x", "load_tests.nothing", (), 1), "there is no such benchmark"),
        (Bench("x", "load_tests.compare", (), 1_000), "it takes about 1000 s"),
        (Bench("x", "load_tests.compare", ("--nothing",), 1), "it ended with status 2: "),
        (Bench("x", "load_tests.compare", ("{out}.json", "{out}.json"), 1), "it ended with status 2: "),
    ],
)
def test_a_benchmark_without_figures_says_why(tmp_path: Path, bench: Bench, why: str) -> None:
    left = run(bench, tmp_path / "x", time.monotonic() + 60, tmp_path / "x.log")
    assert isinstance(left, Left)
    assert left.why.startswith(why)


def test_a_machine_is_described() -> None:
    assert processor_of("processor : 0\nmodel name\t: Xeon 9\n") == "Xeon 9"
    assert processor_of("") != ""
    assert "load average" in str(machine())
