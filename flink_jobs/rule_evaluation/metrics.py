"""The evaluator's counters as Flink metrics, for the web UI and whatever reporter the cluster has."""

from dataclasses import fields
from typing import Any

from flink_jobs.rule_evaluation.evaluator import Counters


def register(group: Any, counters: Counters) -> None:
    """Show each counter as a gauge `rule_evaluation.<name>` of the operator."""
    shown = group.add_group("rule_evaluation")
    for each in fields(Counters):
        shown.gauge(each.name, lambda name=each.name: getattr(counters, name))
