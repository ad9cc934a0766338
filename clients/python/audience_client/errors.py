"""What can go wrong."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiFault:
    """One of several faults in what was sent: a stable code, a JSON pointer, words."""

    code: str
    path: str
    message: str


class ApiError(Exception):
    """The API answered with a refusal. `code` is stable and for programs."""

    def __init__(
        self, status: int, code: str, message: str, errors: Sequence[ApiFault] = (), request_id: str = ""
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.errors = tuple(errors)
        self.request_id = request_id


class ApiUnreachable(Exception):
    """The API did not answer, again and again."""
