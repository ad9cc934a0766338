"""The job and the projection as the log shows them: where topics end, and what their consumer groups have committed.

The job commits what a complete checkpoint covers, after its outputs are in the log. A job without events would commit
nothing, whether it runs or hangs, so each look asks it about nobody in every partition of its commands: a question
changes nothing, is read by every reader of the job that reads events, and is covered by its next checkpoint.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from audience.adapters.kafka.history import partition_of
from audience.adapters.kafka.offsets import Asking
from audience.ports.evaluation import Look, Positions
from audience.ports.event_log import EventLog, LogRecord
from audience.wire.topics import (
    COMMANDS,
    DEFINED_IN,
    EVENTS,
    PROFILE_LISTS,
    PROFILES,
    ExplainCommand,
    encode,
    key_of,
)

INPUTS: Final = (EVENTS, PROFILE_LISTS, COMMANDS)
NO_WORKSPACE: Final = ""
"""No workspace has this name, so that nobody is asked about."""


class KafkaPipeline:
    """Implements `audience.ports.evaluation.Pipeline`. `stores` are the consumer groups of the projection."""

    def __init__(self, bootstrap: str, event_log: EventLog, job: str, stores: Sequence[str]) -> None:
        self._asking = Asking(bootstrap)
        self._event_log = event_log
        self._job = job
        self._stores = stores
        self._questions: list[LogRecord] = []

    async def look(self) -> Look:
        """The log now. Raises EventLogUnavailable."""
        if self._questions:
            await self._event_log.append(self._questions)
        look, partitions = await asyncio.to_thread(self._look)
        if partitions != len(self._questions):
            self._questions = _questions(partitions)
        return look

    def _look(self) -> tuple[Look, int]:
        """The look, and how many partitions commands have."""
        [done] = self._asking.committed([self._job], (*INPUTS, *DEFINED_IN))
        ends = self._asking.ends((*INPUTS, *DEFINED_IN, PROFILES))
        projected = _least(self._asking.committed(self._stores, (PROFILES,)))
        held = {place: end for place, (first, end) in ends.items() if end > first}
        inputs, definitions, outputs = (
            {place: end for place, end in held.items() if place[0] in topics}
            for topics in (INPUTS, DEFINED_IN, (PROFILES,))
        )
        partitions = sum(topic == COMMANDS for topic, _ in ends)
        return Look(inputs, definitions, done, outputs, projected), partitions


def _least(stores: Sequence[Positions]) -> Mapping[tuple[str, int], int]:
    """What every one has."""
    places = set.intersection(*(set(each) for each in stores))
    return {place: min(each[place] for each in stores) for place in places}


def _questions(partitions: int) -> list[LogRecord]:
    """One for each partition of the commands."""
    found: dict[int, LogRecord] = {}
    number = 0
    while len(found) < partitions:
        number += 1
        nobody = f"nobody-{number}"
        key = key_of(NO_WORKSPACE, nobody)
        question = ExplainCommand(workspace=NO_WORKSPACE, profile_id=nobody, request_id=nobody, segment="")
        found.setdefault(partition_of(key.encode(), partitions), LogRecord(COMMANDS, key, encode(question)))
    return list(found.values())
