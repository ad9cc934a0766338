"""The evaluator's counters as Flink metrics, for the web UI and whatever reporter the cluster has.

docs/operations/job.md is the operator's page; tests/unit/jobs/test_metrics.py compares it with what is here.
"""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

from flink_jobs.rule_evaluation.delays import BOUNDS_MS
from flink_jobs.rule_evaluation.evaluator import Counters
from flink_jobs.rule_evaluation.modes import Mode


def gauges(counters: Counters, mode: Mode) -> dict[str, Callable[[], int]]:
    """Every metric by its name in the group `rule_evaluation`."""
    numbers = {each.name: partial(getattr, counters, each.name) for each in fields(Counters) if each.name != "delays"}
    delays = {f"delay_le_{bound_ms}_ms": partial(counters.delays.up_to, bound_ms) for bound_ms in BOUNDS_MS}
    return {**numbers, **delays, "thread_mode": lambda: int(mode == "thread")}


def register(group: Any, counters: Counters, mode: Mode) -> None:
    """Show them all in the operator's group."""
    shown = group.add_group("rule_evaluation")
    for name, read in gauges(counters, mode).items():
        shown.gauge(name, read)
