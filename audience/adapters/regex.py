"""Regular expressions in RE2's syntax, which takes time linear in the text for any pattern. The only user of re2.

Refuses a pattern that is not RE2's, or whose program would be large, or that would be slow for its many repetitions.
"""

from functools import lru_cache
from typing import Any, Final

import re2

from audience.rules import Regex

MAX_PROGRAM_BYTES: Final = 1 << 20
"""How much memory a compiled pattern may take; RE2 refuses one that would take more."""


class BadPattern(ValueError):
    """The pattern is refused; the message says why."""


MAX_POSITIONS: Final = 600
"""How many places a pattern may have, its repetitions written out. A search may be at all of them at each character:
with 2,000, one of 1,000 characters takes 20 ms."""


def _options() -> Any:
    options = re2.Options()
    options.max_mem = MAX_PROGRAM_BYTES
    options.never_capture = (
        True  # whether it matches is all that a rule asks; where costs up to a hundred times as much
    )
    options.log_errors = False  # a refused pattern is its author's to see, not the log's
    return options


def _bytewise() -> Any:
    """A character is a byte here, so that a class as wide as Unicode's letters is one place and not a thousand."""
    options = _options()
    options.encoding = re2.Options.Encoding.LATIN1
    return options


_OPTIONS: Final = _options()
_BYTEWISE: Final = _bytewise()


@lru_cache(maxsize=4_096)
def compile_regex(pattern: str) -> Regex:
    """A compiled pattern, whose `search(text)` gives None where the text holds no match. Raises BadPattern.

    Kept, since the same patterns are compiled again for every save, preview and explanation.
    """
    try:
        compiled: Regex = re2.compile(pattern, _OPTIONS)
        positions = re2.compile(pattern.encode(), _BYTEWISE).programsize
    except re2.error as error:
        reason = error.args[0] if error.args else error
        raise BadPattern(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from error
    except UnicodeEncodeError as error:
        raise BadPattern("the pattern holds half of a surrogate pair") from error
    if positions > MAX_POSITIONS:
        raise BadPattern(f"the pattern has {positions} places, and {MAX_POSITIONS} is the most: repeat less")
    return compiled
