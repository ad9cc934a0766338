"""What is wrong with a rule: every fault at once, each with a stable code and a place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ErrorCode = Literal[
    "node_kind",
    "unknown_key",
    "missing_key",
    "wrong_type",
    "empty",
    "unknown_operator",
    "bad_value",
    "bad_duration",
    "bad_regex",
    "bad_date",
    "limit_exceeded",
    "unknown_segment",
    "unknown_list",
    "unknown_computed_trait",
    "segment_cycle",
]


@dataclass(frozen=True, slots=True)
class RuleError:
    """One fault. `path` is a JSON pointer into the rule: the offending value, or the object that lacks a key."""

    code: ErrorCode
    path: str
    message: str


class RuleInvalid(Exception):
    """The rule is refused; `errors` holds every fault that was found, in the order of the rule's text."""

    def __init__(self, errors: Sequence[RuleError]) -> None:
        super().__init__("; ".join(f"{error.path or '/'}: {error.message} ({error.code})" for error in errors))
        self.errors = tuple(errors)
