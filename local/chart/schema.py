"""Writes helm/audience-manager/values.schema.json: ``python -m local.chart.schema [--check]``.

Defaults stand in values.yaml alone, so the schema carries none: what a process must have, it must have there.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from local.chart.values import ChartValues
from local.settings import ROOT

FILE: Final = ROOT / "helm/audience-manager/values.schema.json"
_DROPPED: Final = ("title", "default", "examples")


def text() -> str:
    """The file's text."""
    schema = _lean(ChartValues.model_json_schema(by_alias=True))
    schema["title"] = "Values of the chart audience-manager"
    return json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **schema}, indent=2, sort_keys=True) + "\n"


def _lean(node: Any, *, named: bool = False) -> Any:
    """Without titles and defaults; `named`: the keys are names of ours, not of JSON Schema."""
    if isinstance(node, list):
        return [_lean(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _lean(value, named=key in ("properties", "$defs") and not named)
        for key, value in node.items()
        if named or key not in _DROPPED
    }


def main(arguments: Sequence[str], file: Path = FILE) -> int:
    """Write, or with --check say whether the file is what would be written."""
    if "--check" not in arguments:
        file.write_text(text())
        return 0
    if file.read_text() == text():
        return 0
    sys.stderr.write(f"{file.name} is not up to date: python -m local.chart.schema\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
