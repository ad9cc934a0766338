"""What the streaming job is asked about one profile, and answers."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol


class EvaluationUnavailable(Exception):
    """The streaming job did not answer in time."""


class NotEvaluated(Exception):
    """The job does not know the profile or the segment; what was saved a moment ago it may know a moment later."""

    def __init__(self, what: Literal["profile_not_found", "segment_not_found"]) -> None:
        super().__init__(what)
        self.what = what


class Explainer(Protocol):
    """Asks the job, which alone holds a profile's state."""

    async def explain(self, workspace: str, profile_id: str, segment: str) -> Mapping[str, Any]:
        """Why a profile is, or is not, in a segment: the contract's JSON without contributing events.

        Raises NotEvaluated, EvaluationUnavailable, and EventLogUnavailable where the question could not be put.
        """
