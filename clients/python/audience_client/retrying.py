"""When a request is sent again, and after how long."""

import random
from dataclasses import dataclass

import httpx

AGAIN = frozenset((429, 502, 503, 504))
FIRST_S = 0.2
LONGEST_S = 30.0


class Busy(Exception):
    """An answer that says to try again."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"{response.status_code} {response.reason_phrase}")
        self.response = response


@dataclass(frozen=True, slots=True)
class Retrying:
    """`times` more after the first."""

    times: int = 2

    def pause_s(self, attempt: int, response: httpx.Response | None) -> float | None:
        """How long to wait before the next attempt; None where there is none. `attempt` begins at 0.

        `response` None: the connection was lost.
        """
        if attempt >= self.times or (response is not None and response.status_code not in AGAIN):
            return None
        told = response.headers.get("Retry-After", "") if response is not None else ""
        if told.isdigit():
            return min(float(told), LONGEST_S)
        return float(min(FIRST_S * 2**attempt, LONGEST_S)) * random.uniform(0.5, 1)  # noqa: S311  spreads clients
