"""Bounds on a JSON Schema that a tenant writes, so that judging an event by it takes time in proportion to the event.

Regular expressions are the compiler's part; here stands what references can do: a schema whose references are written
out has at most `MOST_NODES` parts, so none that doubles at every step, and no schema refers to itself. References
elsewhere than into the schema itself are refused, and so are those that need the event to be resolved.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

MOST_NODES: Final = 2_000
MOST_DEPTH: Final = 60
_REFUSED: Final = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "id")
_VALUES: Final = ("const", "enum", "default", "examples")
"""Keywords whose values are data, not schemas."""
_BY_NAME: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
"""Keywords whose members' names are data."""


class SchemaRefused(Exception):
    """A schema that is not taken; `path` is a JSON pointer into it."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def refuse_costly(schema: Any) -> None:
    """Return where the schema, its references written out, is within the bounds. Raises SchemaRefused."""
    if not isinstance(schema, Mapping | bool):
        raise SchemaRefused("", "a JSON Schema is an object, or a boolean")
    _Count(schema).of(schema, "", 0)


class _Count:
    """Counts the parts of a schema with its references followed; each place is walked once."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._known: dict[int, tuple[int, int]] = {}
        self._open: set[int] = set()

    def of(self, node: Any, path: str, depth: int, *, names: bool = False) -> tuple[int, int]:
        """How many parts `node` has, and how deep they are. With `names` it is an object of schemas by name."""
        if not isinstance(node, Mapping | list):
            return 1, 0
        key = id(node)
        if key in self._open:
            raise SchemaRefused(path, "a schema may not refer to itself")
        if (known := self._known.get(key)) is None:
            self._open.add(key)
            known = self._known[key] = self._walked(node, path, depth, names=names)
            self._open.discard(key)
        if depth + known[1] > MOST_DEPTH:
            raise SchemaRefused(path, f"is nested, references written out, deeper than {MOST_DEPTH}")
        return known

    def _walked(self, node: Any, path: str, depth: int, *, names: bool) -> tuple[int, int]:
        if depth > MOST_DEPTH:
            raise SchemaRefused(path, f"is nested, references written out, deeper than {MOST_DEPTH}")
        size, height = 1, 0
        is_schema = isinstance(node, Mapping) and not names
        for name, child in node.items() if isinstance(node, Mapping) else enumerate(node):
            place = f"{path}/{str(name).replace('~', '~0').replace('/', '~1')}"
            if is_schema and name in _VALUES:
                continue
            if is_schema and name in _REFUSED and isinstance(child, str | bool):
                raise SchemaRefused(place, f"{name} is not supported; refer with #/…")
            target = self._target(child, place) if is_schema and name == "$ref" else child
            parts, below = self.of(target, place, depth + 1, names=is_schema and name in _BY_NAME)
            size, height = size + parts, max(height, below + 1)
            if size > MOST_NODES:
                raise SchemaRefused(path, f"has, references written out, more than {MOST_NODES} parts")
        return size, height

    def _target(self, reference: Any, place: str) -> Any:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise SchemaRefused(place, "a reference stays within its schema: #/$defs/…")
        found = self._root
        for part in unquote(reference).split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise SchemaRefused(place, f"there is no {reference}")
        return found
