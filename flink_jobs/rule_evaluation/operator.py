"""The Flink operator: gives the evaluator its inputs, and does what it says. It decides nothing.

Broadcast state holds the definitions of segments and computed traits; it is what the programs are made from after a
restore. Keyed state is one value a profile. What was deleted stays in broadcast state as such, so that the definitions
that the job was submitted with cannot bring it back.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedBroadcastProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor, ValueStateDescriptor

from audience.adapters.kafka.epochs import next_epoch
from audience.adapters.regex import compile_regex
from flink_jobs.rule_evaluation.evaluator import Evaluator, Step
from flink_jobs.rule_evaluation.metrics import Shown
from flink_jobs.rule_evaluation.modes import actual
from flink_jobs.rule_evaluation.settings import JobSettings

logger = logging.getLogger(__name__)

DEFINITIONS = MapStateDescriptor("definitions", Types.STRING(), Types.STRING())
PROFILE = ValueStateDescriptor("profile", Types.PICKLED_BYTE_ARRAY())


class EvaluateRules(KeyedBroadcastProcessFunction):  # type: ignore[misc]  # pyflink has no types
    """Keyed by profile; the broadcast side carries definitions. Gives rows of topic, key and value."""

    def __init__(self, settings: JobSettings, definitions: Sequence[str]) -> None:
        self._settings = settings
        self._definitions = definitions
        """As they were when the job was submitted, so that no event is evaluated before they are there."""

    def open(self, context: RuntimeContext) -> None:
        self._state = context.get_state(PROFILE)
        self._restored = False
        mode, wanted = actual(), self._settings.python_execution_mode
        logger.log(
            logging.INFO if mode == wanted else logging.ERROR,
            "Python runs in %s mode, as process %d; %s mode was asked for", mode, os.getpid(), wanted,
        )  # fmt: skip
        self._evaluator = Evaluator(
            epoch=next_epoch(self._settings.kafka_bootstrap_servers),
            regex=compile_regex,
            cached_profiles=self._settings.cached_profiles,
        )
        self._shown = Shown(context.get_metrics_group(), self._evaluator.counters, mode)
        self._shown.update()

    def process_element(self, value: str, context: Any) -> Iterator[Row]:
        self._restore(context)
        key = context.get_current_key()
        return self._do(self._evaluator.input(key, value, self._state.value), context)

    def on_timer(self, timestamp: int, context: Any) -> Iterator[Row]:
        self._restore(context)
        key = context.get_current_key()
        return self._do(self._evaluator.timer(key, timestamp, self._state.value), context)

    def process_broadcast_element(self, value: Row, context: Any) -> Iterator[Row]:
        self._restore(context)
        definition = value[1]
        # A tombstone only tidies the topic up: the record before it has said that this is deleted.
        if definition is not None and (key := self._evaluator.define(definition)) is not None:
            context.get_broadcast_state(DEFINITIONS).put(key, definition)
        return iter(())

    def _restore(self, context: Any) -> None:
        if self._restored:
            return
        self._restored = True
        kept = dict(context.get_broadcast_state(DEFINITIONS).items())
        for definition in (*self._definitions, *kept.values()):
            self._evaluator.define(definition)

    def _do(self, step: Step, context: Any) -> Iterator[Row]:
        if step.state is not None:
            self._state.update(step.state)
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
