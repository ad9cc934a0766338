"""The evaluator's counters as Flink metrics, for the web UI and whatever reporter the cluster has."""

from dataclasses import fields
from typing import Any

from flink_jobs.rule_evaluation.evaluator import Counters
from flink_jobs.rule_evaluation.modes import Mode


def register(group: Any, counters: Counters, mode: Mode) -> None:
    """Show each counter as a gauge `rule_evaluation.<name>` of the operator; `thread_mode` is 1 or 0."""
    shown = group.add_group("rule_evaluation")
    shown.gauge("thread_mode", lambda: int(mode == "thread"))
    for each in fields(Counters):
        shown.gauge(each.name, lambda name=each.name: getattr(counters, name))
