"""The evaluator's counters as Flink metrics, for the web UI and whatever reporter the cluster has.

As Flink's counters, which this thread raises, and not as gauges: those are Python that Flink calls from threads of its
own, and in thread mode that crashed the TaskManager (SIGSEGV in MetricGauge.getValue) as soon as somebody looked often.
A call into Java for each event would be dear, so they are brought up to date once a second, with the next input.

docs/operations/job.md is the operator's page; tests/unit/jobs/test_metrics.py compares it with what is here.
"""

import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Final

from flink_jobs.rule_evaluation.delays import BOUNDS_MS
from flink_jobs.rule_evaluation.evaluator import Counters
from flink_jobs.rule_evaluation.modes import Mode

EVERY_S: Final = 1.0
_NUMBERS: Final = tuple(each.name for each in fields(Counters) if each.name != "delays")


def values(counters: Counters, mode: Mode) -> dict[str, int]:
    """Every metric of the group `rule_evaluation`, as it is now. Each only grows."""
    numbers = {name: int(getattr(counters, name)) for name in _NUMBERS}
    delays = {f"delay_le_{bound_ms}_ms": counters.delays.up_to(bound_ms) for bound_ms in BOUNDS_MS}
    return {**numbers, **delays, "thread_mode": int(mode == "thread")}


class Shown:
    """The metrics of one operator, in the group that Flink gives it."""

    def __init__(self, group: Any, counters: Counters, mode: Mode, clock: Callable[[], float] = time.monotonic) -> None:
        shown = group.add_group("rule_evaluation")
        self._counters = counters
        self._mode = mode
        self._clock = clock
        self._told = dict.fromkeys(values(counters, mode), 0)
        self._flink = {name: shown.counter(name) for name in self._told}
        self._due_s = 0.0

    def update(self) -> None:
        """Called after every input."""
        now_s = self._clock()
        if now_s < self._due_s:
            return
        self._due_s = now_s + EVERY_S
        for name, value in values(self._counters, self._mode).items():
            if grown := value - self._told[name]:
                self._flink[name].inc(grown)
                self._told[name] = value
