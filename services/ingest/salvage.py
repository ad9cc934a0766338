"""A body that the fast decoder stops at, cut into the members of its object and the elements of its batch.

So that one bad event does not cost its whole batch: msgspec refuses a body for half a surrogate pair, for NaN, for
nesting beyond the stack, and the SDKs write the first two now and then. Every piece keeps its bytes as they came.
Refuses, with `NotJson`, what is no JSON object, and text that would take too long to cut.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Final

from services.ingest.diagnose import NotJson, lenient_int

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_BRACKET: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)
_scan = json.JSONDecoder(parse_int=lenient_int).raw_decode

BRACKETS: Final = 100_000
"""How many brackets and texts of values that are skipped are walked in one body: about 50 ms of work."""

MEMBERS: Final = 1_000
"""How many members a body may have: an event of 32 KiB has no room for many more."""


@dataclass(slots=True)
class Pieces:
    """The JSON of a body's members, by key, but for the list that was asked for: that in its elements."""

    members: dict[str, bytes] = field(default_factory=dict)
    elements: list[bytes] | None = None


def cut(body: bytes, list_name: str = "", at_most: int = 0) -> Pieces:
    """The object that these bytes are. Of two members with one key the last counts. Raises NotJson.

    Of the list `list_name` the first `at_most` elements are cut out, and one more where there are more.
    """
    try:
        cutter = _Cutter(body.decode(), list_name, at_most)
    except UnicodeDecodeError as fault:
        raise NotJson(str(fault)) from fault
    return cutter.pieces()


@dataclass(slots=True)
class _Cutter:
    text: str
    list_name: str
    at_most: int
    brackets_left: int = BRACKETS

    def pieces(self) -> Pieces:
        found, members_left = Pieces(), MEMBERS
        at = self._after(self._space(0), "{")
        if self.text[at : at + 1] == "}":
            self._expect_end(at + 1)
            return found
        while True:
            members_left -= 1
            if not members_left:
                raise NotJson(f"more than {MEMBERS} members")
            key, at = self._key(at)
            at = self._after(self._space(at), ":")
            if key == self.list_name and self.text[at : at + 1] == "[":
                found.elements, end = self._elements(at)
            else:
                end = self._end_of_value(at)
                found.members[key] = self.text[at:end].encode()
            at = self._space(end)
            if self._one_of(at, ",}") == "}":
                break
            at = self._space(at + 1)
        self._expect_end(at + 1)
        return found

    def _elements(self, start: int) -> tuple[list[bytes], int]:
        found: list[bytes] = []
        at = self._space(start + 1)
        if self.text[at : at + 1] == "]":
            return found, at + 1
        while True:
            end = self._end_of_value(at)
            found.append(self.text[at:end].encode())
            if len(found) > self.at_most:
                return found, self._end_of_brackets(start)
            at = self._space(end)
            if self._one_of(at, ",]") == "]":
                return found, at + 1
            at = self._space(at + 1)

    def _key(self, at: int) -> tuple[str, int]:
        self._one_of(at, '"')
        try:
            key, end = _scan(self.text, at)
        except ValueError as fault:
            raise NotJson(str(fault)) from fault
        return key, end

    def _end_of_value(self, at: int) -> int:
        try:
            return _scan(self.text, at)[1]
        except RecursionError:
            return self._end_of_brackets(at)
        except ValueError as fault:
            raise NotJson(str(fault)) from fault

    def _end_of_brackets(self, at: int) -> int:
        """Where the bracket at this place is closed; what stands between brackets and texts is not looked at."""
        depth = 0
        for token in _BRACKET.finditer(self.text, at):
            self.brackets_left -= 1
            if not self.brackets_left:
                raise NotJson("nested too deep, or too many values")
            character = token[0][0]
            if character == '"':
                continue
            depth += 1 if character in "[{" else -1
            if depth == 0:
                return token.end()
        raise NotJson("a bracket is not closed")

    def _space(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        return found.end() if found else at

    def _one_of(self, at: int, characters: str) -> str:
        found = self.text[at : at + 1]
        if not found or found not in characters:
            raise NotJson(f"expected one of {' '.join(characters)} at character {at}")
        return found

    def _after(self, at: int, character: str) -> int:
        """Behind this character, which must stand there, and the space that follows it."""
        self._one_of(at, character)
        return self._space(at + 1)

    def _expect_end(self, at: int) -> None:
        if self._space(at) != len(self.text):
            raise NotJson(f"something follows the value at character {at}")
