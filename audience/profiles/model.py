"""A profile as the rest of the platform sees it: absolute, as of a version. Refuses nothing; a value, not a store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Membership:
    """One segment that a profile is in, and since when (Unix ms)."""

    segment: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile as of `version`. `version` only grows; of two records the greater version is the true one.

    One that was forgotten is a record like any other, so that nothing older comes back: it holds nothing, and was never
    created (`created_ms` 0).
    """

    workspace: str
    profile_id: str
    version: int
    created_ms: int
    updated_ms: int
    traits: Mapping[str, Any] = field(default_factory=dict)
    computed: Mapping[str, Any] = field(default_factory=dict)
    segments: tuple[Membership, ...] = ()

    @property
    def forgotten(self) -> bool:
        return self.created_ms == 0
