"""What is different between two rules, in words: places and values, by the structure of their JSON.

Lists of nodes are compared as lists of what they hold, so that a node put in front does not make all others differ.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Final

import msgspec

_LONGEST: Final = 120
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


def differences(before: Any, after: Any) -> list[str]:
    """A sentence for each difference, in the order of the rules' text; none where they are equal."""
    return list(_differences(before, after, "the rule"))


def _differences(before: Any, after: Any, place: str) -> Iterator[str]:
    if _encode(before) == _encode(after):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping) and before.keys() & after.keys():
        for key in [*before, *(key for key in after if key not in before)]:
            if key not in after:
                yield f"{place}: {key!r} was taken out, it was {_text(before[key])}"
            elif key not in before:
                yield f"{place}: {key!r} was added, {_text(after[key])}"
            else:
                yield from _differences(before[key], after[key], f"{place}, {key!r}")
    elif isinstance(before, list) and isinstance(after, list):
        yield from _in_list(before, after, place)
    else:
        yield f"{place}: {_text(after)} in place of {_text(before)}"


def _in_list(before: Sequence[Any], after: Sequence[Any], place: str) -> Iterator[str]:
    matcher = SequenceMatcher(
        None, [_encode(each) for each in before], [_encode(each) for each in after], autojunk=False
    )
    for what, old, old_end, new, new_end in matcher.get_opcodes():
        if what == "equal":
            continue
        paired = min(old_end - old, new_end - new)
        for at in range(paired):
            yield from _differences(before[old + at], after[new + at], f"{place}, number {new + at + 1}")
        yield from (f"{place}: {_text(each)} was taken out" for each in before[old + paired : old_end])
        yield from (f"{place}: {_text(each)} was added" for each in after[new + paired : new_end])


def _text(value: Any) -> str:
    text = _encode(value).decode()
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
