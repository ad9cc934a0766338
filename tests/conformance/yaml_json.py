"""Reads YAML that means JSON: only JSON's null, booleans and numbers are not strings.

So `on`, `12:30` and `2026-03-01` are strings, as they look. It refuses a key given twice, a value
JSON has not, and every tag but four of our own, which keep large values small:

    !range 3                             [0, 1, 2]
    !repeat {times: 2, of: x}            [x, x]
    !nest {times: 2, key: not, of: x}    {not: {not: x}}; for all and any, {all: [{all: [x]}]}
    !text {times: 2, of: x}              xx
"""

import re
from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """A safe loader whose plain scalars are JSON's."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - that is where PyYAML looks; SafeLoader's own stay untouched

    def construct_json_object(self, node: yaml.MappingNode) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is no string", key_node.start_mark
                )
            if key in found:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", key_node.start_mark)
            found[key] = self.construct_object(value_node, deep=True)
        return found

    def parts(self, node: yaml.Node, *keys: str) -> list[Any]:
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, f"{node.tag} takes {keys}", node.start_mark)
        found = self.construct_json_object(node)
        if found.keys() != set(keys):
            raise yaml.constructor.ConstructorError(None, None, f"{node.tag} takes {keys}", node.start_mark)
        return [found[key] for key in keys]


def _range(loader: _Loader, node: yaml.ScalarNode) -> list[int]:
    return list(range(int(node.value)))


def _repeat(loader: _Loader, node: yaml.Node) -> list[Any]:
    times, of = loader.parts(node, "times", "of")
    return [of] * times


def _nest(loader: _Loader, node: yaml.Node) -> Any:
    times, key, of = loader.parts(node, "times", "key", "of")
    for _ in range(times):
        of = {key: of if key == "not" else [of]}
    return of


def _text(loader: _Loader, node: yaml.Node) -> str:
    times, of = loader.parts(node, "times", "of")
    return str(of * times)


_NULL, _BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))
_Loader.add_implicit_resolver(_NULL, re.compile(r"(?:null|)\Z"), ["n", ""])
_Loader.add_implicit_resolver(_BOOL, re.compile(r"(?:true|false)\Z"), ["t", "f"])
_Loader.add_implicit_resolver(_INT, re.compile(r"-?(?:0|[1-9][0-9]*)\Z"), list("-0123456789"))
_FLOAT_TEXT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")
_Loader.add_implicit_resolver(_FLOAT, _FLOAT_TEXT, list("-0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_json_object)
_Loader.add_constructor("!range", _range)
_Loader.add_constructor("!repeat", _repeat)
_Loader.add_constructor("!nest", _nest)
_Loader.add_constructor("!text", _text)


def read(path: Path) -> Any:
    """The one document in a file. `yaml.YAMLError` says where it is at fault."""
    with path.open(encoding="utf-8") as file:
        return yaml.load(file, Loader=_Loader)  # noqa: S506 - a safe loader, made stricter
