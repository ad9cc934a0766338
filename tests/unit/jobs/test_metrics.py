"""The job's metrics: what they count; the page has them all; alerts name none that is not there."""

import re
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry

from flink_jobs.rule_evaluation.delays import BOUNDS_MS, Delays
from flink_jobs.rule_evaluation.evaluator import Counters
from flink_jobs.rule_evaluation.metrics import EVERY_S, Shown, values
from services.archive.metrics import ArchiveMetrics
from services.projection.metrics import ProjectionMetrics
from tests.unit.jobs.test_evaluator import NOW_MS, Operator

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs/operations"
ALERTS = ROOT / "helm/audience-manager/files/alerts.yml"
FLINKS_OWN = {
    f"flink_jobmanager_job_{name}"
    for name in ("numRestarts", "numberOfFailedCheckpoints", "numberOfCompletedCheckpoints")
}
FLINK = "flink_taskmanager_job_task_operator_rule_evaluation_"


def test_what_an_event_counts() -> None:
    operator = Operator()
    for number in range(3):
        operator.event("u", f"m{number}", time_ms=NOW_MS)
    shown = values(operator.evaluator.counters, "thread")
    assert (shown["events"], shown["state_reads"], shown["cache_hits"], shown["state_writes"]) == (3, 1, 2, 3)
    assert shown["state_bytes"] >= 3 * len(operator.states["demo:u"]) / 2
    assert shown["newest_ms"] == NOW_MS
    assert shown["delay_le_10_ms"] == 3
    assert shown["thread_mode"] == 1


class Group:
    """Flink's metric group and its counters."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def add_group(self, name: str) -> "Group":
        assert name == "rule_evaluation"
        return self

    def counter(self, name: str) -> "Group.Counter":
        return Group.Counter(self, name)

    class Counter:
        def __init__(self, group: "Group", name: str) -> None:
            self.group, self.name = group, name
            group.counts[name] = 0

        def inc(self, by: int) -> None:
            self.group.counts[self.name] += by


def test_flink_is_told_once_a_second() -> None:
    group, counters, now_s = Group(), Counters(), [5.0]
    shown = Shown(group, counters, "thread", clock=lambda: now_s[0])
    for told in (0, 0, 3):
        if told:
            now_s[0] += EVERY_S
        counters.events += 1
        shown.update()
        if not told:
            assert group.counts["events"] == 1
    assert group.counts["events"] == counters.events == 3
    assert group.counts["thread_mode"] == 1


def test_delays_are_cumulative() -> None:
    delays = Delays()
    for delay_ms in (-5, 0, 10, 11, 99, 60_000, 60_001):
        delays.observe(delay_ms)
    assert [delays.up_to(bound_ms) for bound_ms in BOUNDS_MS] == [3, 4, 4, 5, 5, 5, 5, 5, 5, 5, 6]


def test_the_page_has_every_metric() -> None:
    page = (DOCS / "job.md").read_text()
    for name in values(Counters(), "thread"):
        assert f"`{re.sub(r'_le_[0-9]+_', '_le_N_', name)}`" in page, name
    for family in projected():
        assert f"`{family}`" in page, family


def test_alerts_name_metrics_that_are_there() -> None:
    known = {FLINK + name for name in values(Counters(), "thread")} | FLINKS_OWN
    known |= {name + suffix for name in registered() for suffix in ("", "_total", "_bucket")}
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        named = set(re.findall(r"(?:flink|projection|archive)_[A-Za-z0-9_]+", rule["expr"]))
        assert named, rule["alert"]
        assert named <= known, named - known


def projected() -> list[str]:
    registry = CollectorRegistry()
    ProjectionMetrics(registry)
    return [family.name for family in registry.collect()]


def registered() -> list[str]:
    registry = CollectorRegistry()
    ArchiveMetrics(registry)
    return [*projected(), *(family.name for family in registry.collect())]
