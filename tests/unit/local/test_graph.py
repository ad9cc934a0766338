"""The order of starting, and what happens when something fails."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from local import graph
from local.assembly import assemble
from local.layout import Layout
from local.model import Node, Part, Step
from local.settings import ROOT, LocalSettings


def step(name: str, *needs: str) -> Step:
    return Step(name, name, lambda: None, needs)


def test_each_comes_after_what_it_needs_and_once() -> None:
    nodes = [step("c", "a", "b"), step("a"), step("b", "a"), step("d")]
    done: list[str] = []
    graph.run(nodes, lambda node: done.append(node.name), threading.Event())
    assert sorted(done) == ["a", "b", "c", "d"]
    assert done.index("a") < done.index("b") < done.index("c")


def test_independent_ones_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)
    graph.run([step("a"), step("b")], lambda _: both.wait() and None, threading.Event())


def test_after_a_failure_nothing_new_begins_and_the_others_are_told() -> None:
    cancelled, begun = threading.Event(), []

    def work(node: Node) -> None:
        begun.append(node.name)
        if node.name == "bad":
            raise RuntimeError("it broke")
        assert cancelled.wait(10)

    with pytest.raises(RuntimeError, match="it broke"):
        graph.run([step("bad"), step("slow"), step("later", "slow")], work, cancelled)
    assert "later" not in begun


def test_a_circle_is_refused() -> None:
    with pytest.raises(graph.WrongGraph, match="a circle of needs"):
        graph.sorter([step("a", "b"), step("b", "a")])


def test_an_unknown_need_is_refused() -> None:
    with pytest.raises(graph.WrongGraph, match="a needs nothing-like-it"):
        graph.sorter([step("a", "nothing-like-it")])


@pytest.fixture
def needs(tmp_path: Path) -> Mapping[str, set[str]]:
    """Everything that each node of the real platform waits for, directly or not."""
    layout = Layout(ROOT, tmp_path)
    nodes = {node.name: node for node in assemble(LocalSettings(), layout, os.environ).nodes}

    def all_of(name: str) -> set[str]:
        return {name}.union(*(all_of(each) for each in nodes[name].needs))

    return {name: all_of(name) - {name} for name in nodes}


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("kafka", {"kafka-files"}),
        ("postgres", {"postgres-files"}),
        ("schema", {"postgres"}),
        ("credentials", {"schema"}),
        ("topics", {"kafka"}),
        ("rule-evaluation", {"topics", "flink-files"}),
        ("projection", {"schema", "topics"}),
        ("ingest-api", {"credentials", "topics"}),
        ("segment-api", {"credentials", "topics"}),
    ],
)
def test_what_the_platforms_parts_wait_for(needs: Mapping[str, set[str]], name: str, first: set[str]) -> None:
    assert first <= needs[name]


def test_stores_do_not_wait_for_each_other(needs: Mapping[str, set[str]]) -> None:
    assert "kafka" not in needs["postgres"]
    assert "postgres" not in needs["kafka"]


def test_those_that_write_stop_before_what_they_write_to(tmp_path: Path) -> None:
    platform = assemble(LocalSettings(), Layout(ROOT, tmp_path), os.environ)
    order = [name for group in reversed(graph.layers(platform.nodes)) for name in group]
    parts = [name for name in order if name in {part.name for part in platform.nodes if isinstance(part, Part)}]
    assert parts.index("rule-evaluation") < parts.index("taskmanager-1") < parts.index("kafka")
    assert parts.index("projection") < parts.index("postgres")
