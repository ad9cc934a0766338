"""How far the evaluation of segments has come: seen in the log, kept where those who read segments find it."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, TypeAlias

Positions: TypeAlias = Mapping[tuple[str, int], int]
"""For a topic and a partition the offset behind the last record that is meant."""


class Look(NamedTuple):
    """The log at one moment. What is done was read before the ends of `outputs`, and these before `projected`."""

    inputs: Positions
    """Where events, lists and commands end; partitions that hold nothing are left out here and below."""
    definitions: Positions
    """Where the definitions of segments and computed traits end."""
    done: Positions
    """What a complete checkpoint of the job covers, outputs included."""
    outputs: Positions
    """Where the topic of profiles ends."""
    projected: Positions
    """What every store has of it."""


class Reached(NamedTuple):
    """Unix milliseconds. Every event accepted, and every definition saved, by then has had its effect."""

    events_ms: int
    definitions_ms: int


class Pipeline(Protocol):
    """The job and the projection, seen from outside."""

    async def look(self) -> Look:
        """See above; also gives the job something to do, so that one that does nothing is told from one that hangs.

        Raises EventLogUnavailable.
        """


class EvaluationProgress(Protocol):
    """What was reached, kept. Raises StoreUnavailable."""

    async def untold_since_ms(self) -> int | None:
        """When the oldest change of a segment was saved that the jobs have not been told of."""

    async def advance(self, reached: Reached) -> None:
        """Keep this where it is further than what is kept."""

    async def read(self) -> Reached | None:
        """What was reached; None before there was anything."""
