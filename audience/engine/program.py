"""The live rules of one workspace, compiled: which leaves there are, who asks for them, what each segment evaluates.

Segments are added, replaced and taken out one by one, each in the time of its own rule. Nothing here belongs to a
profile. No code is generated from a rule: a rule becomes a tree over checked values.
"""

from typing import Any

import audience_engine

from audience.engine import lowering
from audience.engine.state import ProfileState
from audience.rules.dates import parse_date_ms
from audience.rules.reading import RegexCompiler
from audience.rules.tree import ComputedTrait, Node


class Program:
    """The compiled segments and computed traits of one workspace."""

    def __init__(self, regex: RegexCompiler) -> None:
        self.compiled = audience_engine.Program(regex, parse_date_ms)
        """What `audience.engine.evaluate` moves profiles by."""
        self.rules: dict[str, tuple[Node, int]] = {}
        """The rule and the version of each segment."""

    def put(
        self,
        key: str,
        rule: Node,
        *,
        version: int,
        revision: int,
        paused: bool = False,
        born: int = 0,
        backfill: lowering.Backfill | None = None,
    ) -> None:
        """Add a segment or replace it. An older revision than the one that is there changes nothing.

        `born` is the revision that the segment was made with: who was in another of its key before has left that one.
        With a `backfill` it is not asked for a profile that there is already, until the profile's history is in
        (`audience.engine.evaluate.on_history`); until then the old answer stands.
        """
        definition = lowering.segment(
            key, rule, version=version, revision=revision, paused=paused, born=born, backfill=backfill
        )
        if self.compiled.put(definition):
            self.rules[key] = (rule, version)

    def remove(self, key: str, revision: int) -> None:
        """Take a segment out, with the leaves that only it needed; an older definition cannot bring it back."""
        if self.compiled.remove(key, revision):
            del self.rules[key]

    def put_computed_trait(self, trait: ComputedTrait, revision: int) -> None:
        """Add a computed trait or replace it. A revision no newer than what was seen of it changes nothing."""
        self.compiled.put_computed_trait(lowering.computed_trait(trait, revision))

    def remove_computed_trait(self, key: str, revision: int) -> None:
        """Take a computed trait out; an older definition cannot bring it back."""
        self.compiled.remove_computed_trait(key, revision)

    def version_of(self, segment: str) -> int:
        """The version of a segment's rule; 0 for one that is not there."""
        return self.rules[segment][1] if segment in self.rules else 0

    @property
    def revision(self) -> int:
        """The newest revision of all definitions."""
        return self.compiled.revision

    @property
    def leaf_count(self) -> int:
        """How many windows and sequences are kept for a profile that met every event."""
        return len(self.compiled.leaves) + len(self.compiled.sequences)

    def nodes(self, segment: str, state: ProfileState) -> list[tuple[bool, Any]]:
        """Whether each node of a segment's rule holds at the state's instant, and what it measured; None for nothing.

        A node comes before its children, in the order of the rule. Raises KeyError where there is no such segment.
        """
        return self.compiled.nodes(segment, state)
