"""Why the bytes of an event could not be decoded: a bad event with its code and place, or no JSON at all.

The slow way, taken for refused events alone. Python's own parser is the judge here, since it reads what msgspec stops
at: numbers that no double holds, the words NaN and Infinity that some SDKs write, halves of surrogate pairs.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from audience.events.normalise import NotValid

_DOUBLE_DIGITS: Final = 309
"""An integer of fewer digits fits a double; of this many, it depends; of more, it never does."""

_DIGITS_ALIKE: Final = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_LONG_NUMBER: Final = b"0" * _DOUBLE_DIGITS
_BRACKETS_ALIKE: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_PLACE: Final = re.compile(r" - at `\$(.*)`$")
_MEMBER: Final = re.compile(r"\.(\w+)")
_STRINGS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


class NotJson(Exception):
    """The body is not JSON of the right shape; the words say where."""


def lenient_int(digits: str) -> float:
    """An integer, or infinity where no double holds it. (Converting very long ones would take very long.)"""
    if len(digits) < _DOUBLE_DIGITS:
        return int(digits)
    return float(digits)


def depth_within(data: bytes, limit: int) -> bool:
    """Whether objects and lists are nested at most `limit` deep in these bytes, which are known to be JSON.

    Where there are no more brackets than that, it is, and counting them is what a caller should do first.
    """
    brackets = _STRINGS.sub(b"", data).translate(_BRACKETS_ALIKE, _NO_BRACKETS)
    for _ in range(limit):  # each turn takes the innermost pairs away
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return True
    return False


def holds_long_number(data: bytes) -> bool:
    """Whether an integer in these bytes may be beyond the doubles; digits within a string look the same."""
    return _LONG_NUMBER in data.translate(_DIGITS_ALIKE)  # a tenth of the time of a regular expression


def reason(data: bytes, error: Exception | None, depth_limit: int) -> NotValid | None:
    """Why these bytes, a member of a body that is otherwise JSON, are no event; None where nothing is wrong.

    `error` is what the decoder said. Raises NotJson where they break the whole body.
    """
    try:
        value = json.loads(data, parse_int=lenient_int)
    except RecursionError:
        return too_deep(depth_limit)
    except ValueError as fault:
        raise NotJson(str(fault)) from fault
    if not depth_within(data, depth_limit):
        return too_deep(depth_limit)
    for path, leaf in _leaves(value, ""):
        if isinstance(leaf, float) and not math.isfinite(leaf):
            return NotValid("not_finite", path, "a number must be finite, and one that a double can hold")
        if isinstance(leaf, str) and not _encodable(leaf):
            return NotValid("bad_text", path, "half of a surrogate pair is no text")
    return None if error is None else _wrong_type(error)


def too_deep(limit: int) -> NotValid:
    """The objects and lists of an event are nested deeper than the limit."""
    return NotValid("too_deep", "", f"objects and lists may be nested at most {limit} deep")


def _wrong_type(error: Exception) -> NotValid:
    """msgspec's ``Expected `object | null`, got `array` - at `$.properties` `` in our form."""
    words = str(error)
    place = _PLACE.search(words)
    path = _MEMBER.sub(r"/\1", place[1]) if place else ""
    if not isinstance(error, msgspec.ValidationError):
        return NotValid("unreadable", path, words)
    return NotValid("wrong_type", path, _PLACE.sub("", words).replace(" | null", ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every string and number with its JSON pointer, in the order of the text; a key that is no text, as its object's.

    Recursive, so not for values of unknown depth.
    """
    if isinstance(value, dict):
        for key, child in value.items():
            if not _encodable(key):
                yield path, key
            yield from _leaves(child, f"{path}/{_escaped(key)}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _leaves(child, f"{path}/{index}")
    else:
        yield path, value


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
