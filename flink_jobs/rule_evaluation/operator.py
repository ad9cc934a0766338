"""The Flink operator: gives the evaluator its inputs, and does what it says. It decides nothing.

Keyed state is one value a profile. The definitions of segments and computed traits are no state of Flink's: their
compacted topics hold them, and each operator reads those whole before its first event, when it begins and when it
begins again. A checkpoint may be older than a definition under which events have been evaluated already; restored
from it, those events would be evaluated again without.
"""

import logging
import os
from collections.abc import Iterator
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedBroadcastProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor, ValueStateDescriptor

from audience.adapters.kafka.epochs import next_epoch
from audience.adapters.kafka.reader import read_compacted
from audience.adapters.regex import compile_regex
from audience.wire.topics import DEFINED_IN
from flink_jobs.rule_evaluation.evaluator import Evaluator, Step
from flink_jobs.rule_evaluation.metrics import Shown
from flink_jobs.rule_evaluation.modes import actual
from flink_jobs.rule_evaluation.settings import JobSettings

logger = logging.getLogger(__name__)

DEFINITIONS = MapStateDescriptor("definitions", Types.STRING(), Types.STRING())
"""A stream is broadcast with a descriptor; nothing is kept under it."""
DAY_MS = 86_400_000
PROFILE = ValueStateDescriptor("profile", Types.PICKLED_BYTE_ARRAY())


class EvaluateRules(KeyedBroadcastProcessFunction):  # type: ignore[misc]  # pyflink has no types
    """Keyed by profile; the broadcast side carries definitions. Gives rows of topic, key and value."""

    def __init__(self, settings: JobSettings) -> None:
        self._settings = settings

    def open(self, context: RuntimeContext) -> None:
        self._state = context.get_state(PROFILE)
        bootstrap = self._settings.kafka_bootstrap_servers
        mode, wanted = actual(), self._settings.python_execution_mode
        logger.log(
            logging.INFO if mode == wanted else logging.ERROR,
            "Python runs in %s mode, as process %d; %s mode was asked for", mode, os.getpid(), wanted,
        )  # fmt: skip
        self._evaluator = Evaluator(
            epoch=next_epoch(bootstrap),
            regex=compile_regex,
            cached_profiles=self._settings.cached_profiles,
            retention_ms=self._settings.profile_retention_days * DAY_MS,
        )
        for topic in DEFINED_IN:
            for definition in read_compacted(bootstrap, topic).values():
                self._evaluator.define(definition)
        self._shown = Shown(context.get_metrics_group(), self._evaluator.counters, mode)
        self._shown.update()

    def process_element(self, value: str, context: Any) -> Iterator[Row]:
        key = context.get_current_key()
        return self._do(self._evaluator.input(key, value, self._state.value), context)

    def on_timer(self, timestamp: int, context: Any) -> Iterator[Row]:
        key = context.get_current_key()
        return self._do(self._evaluator.timer(key, timestamp, self._state.value), context)

    def process_broadcast_element(self, value: Row, context: Any) -> Iterator[Row]:  # noqa: ARG002  as Flink calls it
        # A tombstone only tidies the topic up: the record before it has said that this is deleted.
        if value[1] is not None:
            self._evaluator.define(value[1])
        return iter(())

    def _do(self, step: Step, context: Any) -> Iterator[Row]:
        if step.state is not None:
            self._state.update(step.state)
        if step.clear:
            self._state.clear()
        if step.delete_timer_ms is not None:
            context.timer_service().delete_processing_time_timer(step.delete_timer_ms)
        if step.set_timer_ms is not None:
            context.timer_service().register_processing_time_timer(step.set_timer_ms)
        self._shown.update()
        for record in step.records:
            yield Row(*record)


class EvaluateRulesOfRows(EvaluateRules):
    """For a stream that a Python function has keyed, whose elements are whole rows."""

    def process_element(self, value: Row, context: Any) -> Iterator[Row]:
        return super().process_element(value[1], context)
