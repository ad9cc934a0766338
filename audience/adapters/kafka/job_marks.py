"""How far the streaming job is in its inputs, as the offsets say that its complete checkpoints cover."""

import asyncio
from typing import Final

from audience.adapters.kafka.offsets import Asking
from audience.ports.evaluation import Positions

GROUP: Final = "rule-evaluation"


class JobMarks:
    """Every call raises EventLogUnavailable."""

    def __init__(self, bootstrap: str, group: str = GROUP) -> None:
        self._asking = Asking(bootstrap)
        self._group = group

    async def begins(self, topic: str) -> Positions:
        """Where the topic's partitions begin now."""
        return {place: first for place, (first, _) in (await asyncio.to_thread(self._marks, topic)).items()}

    async def ends(self, topic: str) -> Positions:
        """Where the topic's partitions end now."""
        return {place: end for place, (_, end) in (await asyncio.to_thread(self._marks, topic)).items()}

    def _marks(self, *topics: str) -> dict[tuple[str, int], tuple[int, int]]:
        return self._asking.ends(topics)

    async def passed(self, marks: Positions) -> bool:
        """Whether a complete checkpoint covers all that lies before these."""
        return await asyncio.to_thread(self._passed, marks)

    def _passed(self, marks: Positions) -> bool:
        committed, ends = self._look(marks)
        # What was forgotten altogether is waited for by nobody.
        return all(committed.get(place, 0) >= mark or ends[place][0] >= mark for place, mark in marks.items())

    async def lost(self, marks: Positions) -> bool:
        """Whether Kafka has forgotten something in the marks' partitions that the job has not read."""
        return await asyncio.to_thread(self._lost, marks)

    def _lost(self, marks: Positions) -> bool:
        committed, ends = self._look(marks)
        return any(place in committed and ends[place][0] > committed[place] for place in marks)

    def _look(self, marks: Positions) -> tuple[Positions, dict[tuple[str, int], tuple[int, int]]]:
        topics = {topic for topic, _ in marks}
        [committed] = self._asking.committed([self._group], topics)
        return committed, self._marks(*topics)
