"""JSON Schemas that tenants write, compiled by jsonschema-rs (docs/adr/0013).

Patterns run on an engine of linear time and bounded size, so none can blow up; look-around and back-references are
refused. Nothing is fetched: a reference leads within its schema, or the schema is refused.
"""

from typing import Any, Final

import jsonschema_rs

from audience.events.schema_limits import SchemaRefused
from audience.events.tracking_plans import FindFault

_PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20)


def compile_schema(schema: Any) -> FindFault:
    """What finds the first fault of a value by this schema (draft 2020-12, or its `$schema`). Raises SchemaRefused."""
    try:
        validator = jsonschema_rs.validator_for(schema, pattern_options=_PATTERNS, offline=True)
    except jsonschema_rs.ValidationError as error:
        raise SchemaRefused(_pointer(error.instance_path), f"is no JSON Schema: {error.message}") from error
    except (jsonschema_rs.ReferencingError, ValueError, TypeError) as error:
        raise SchemaRefused("", f"is no JSON Schema: {error}") from error

    def fault_of(value: Any) -> tuple[str, str] | None:
        if validator.is_valid(value):
            return None
        for error in validator.iter_errors(value):
            return _pointer(error.instance_path), error.message
        return None

    return fault_of


def _pointer(path: list[str | int]) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
