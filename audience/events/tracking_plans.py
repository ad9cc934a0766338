"""Tracking plans: what a source's events ought to look like, and what becomes of those that do not.

A plan holds a JSON Schema for each name of a track event, and for each of the other types if wanted. A schema describes
``{"properties", "traits", "context"}`` of an event, as Segment's and RudderStack's plans do. Pure: whoever calls brings
the compiler of schemas (`audience.adapters.json_schema`). Refuses plans that could cost more than their events' size.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, get_args

from audience.events.schema_limits import SchemaRefused, refuse_costly

PlanMode = Literal["allow", "flag", "block"]
"""What becomes of a violating event: counted alone; accepted with its violation on it; put into `events.bad`."""

Unplanned = Literal["ignore", "allow", "flag", "block"]
"""What becomes of a track event that the plan does not name; `ignore`: it is not even counted."""

MODES: Final[tuple[str, ...]] = get_args(PlanMode)
UNPLANNED_MODES: Final[tuple[str, ...]] = get_args(Unplanned)
OTHER_TYPES: Final = ("identify", "page", "screen", "group", "alias")
MOST_SCHEMAS: Final = 1_000
MOST_NAME: Final = 200
VIOLATION: Final = "plan_violation"
UNPLANNED: Final = "unplanned_event"
_MEMBERS: Final = ("mode", "unplanned", "events", "types")
_MOST_WORDS: Final = 300
_MOST_PATH: Final = 500


@dataclass(frozen=True, slots=True)
class PlanFault:
    """Why a plan is refused: a stable code, a JSON pointer into it, words."""

    code: str
    path: str
    message: str


class PlanInvalid(Exception):
    """A plan that cannot be saved."""

    def __init__(self, faults: Sequence[PlanFault]) -> None:
        super().__init__("; ".join(f"{each.path or '/'}: {each.message}" for each in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong with an event by its source's plan. `path` is a JSON pointer into the event."""

    code: str
    path: str
    message: str
    mode: PlanMode


class PlannedEvent(Protocol):
    """What is judged of an event."""

    @property
    def type(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def properties(self) -> Mapping[str, Any]: ...
    @property
    def traits(self) -> Mapping[str, Any]: ...
    @property
    def context(self) -> Mapping[str, Any]: ...


FindFault = Callable[[Any], tuple[str, str] | None]
"""The first fault of a value by one schema: its JSON pointer and words; None where it is valid."""

CompileSchema = Callable[[Any], FindFault]
"""Compiles a JSON Schema once. Raises `audience.events.schema_limits.SchemaRefused`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan, compiled. `unplanned` is None where events that it does not name are not looked at."""

    mode: PlanMode
    unplanned: PlanMode | None
    events: Mapping[str, FindFault]
    types: Mapping[str, FindFault]

    def violation_of(self, event: PlannedEvent) -> Violation | None:
        """What is wrong with an event; None where it keeps to the plan."""
        if event.type == "track":
            fault_of = self.events.get(event.name)
            if fault_of is None:
                if self.unplanned is None:
                    return None
                return Violation(UNPLANNED, "/event", "the tracking plan does not name this event", self.unplanned)
        else:
            fault_of = self.types.get(event.type)
            if fault_of is None:
                return None
        fault = fault_of({"properties": event.properties, "traits": event.traits, "context": event.context})
        if fault is None:
            return None
        path, words = fault
        return Violation(VIOLATION, path[:_MOST_PATH], words[:_MOST_WORDS], self.mode)


def parse_plan(document: Any, compile_schema: CompileSchema) -> Plan:
    """The plan that this JSON is. Raises PlanInvalid, with every fault that was found."""
    if not isinstance(document, Mapping):
        raise PlanInvalid([PlanFault("wrong_type", "", "a tracking plan is an object")])
    faults = [
        PlanFault("unknown_key", f"/{_escaped(str(name))}", f"a tracking plan has {', '.join(_MEMBERS)}")
        for name in document
        if name not in _MEMBERS
    ]
    mode = document.get("mode", "allow")
    if mode not in MODES:
        faults.append(PlanFault("bad_value", "/mode", f"must be one of {', '.join(MODES)}"))
    unplanned = document.get("unplanned", "ignore")
    if unplanned not in UNPLANNED_MODES:
        faults.append(PlanFault("bad_value", "/unplanned", f"must be one of {', '.join(UNPLANNED_MODES)}"))
    events = _schemas(document, "events", compile_schema, faults)
    types = _schemas(document, "types", compile_schema, faults)
    faults += [
        PlanFault("bad_value", f"/types/{_escaped(name)}", f"must be one of {', '.join(OTHER_TYPES)}")
        for name in types
        if name not in OTHER_TYPES
    ]
    if faults:
        raise PlanInvalid(faults[:100])
    return Plan(mode, None if unplanned == "ignore" else unplanned, events, types)


def _schemas(
    document: Mapping[str, Any], member: str, compile_schema: CompileSchema, faults: list[PlanFault]
) -> dict[str, FindFault]:
    given = document.get(member, {})
    if not isinstance(given, Mapping):
        faults.append(PlanFault("wrong_type", f"/{member}", "must be an object of JSON Schemas by name"))
        return {}
    if len(given) > MOST_SCHEMAS:
        faults.append(PlanFault("limit_exceeded", f"/{member}", f"holds at most {MOST_SCHEMAS} schemas"))
        return {}
    found: dict[str, FindFault] = {}
    for name, schema in given.items():
        place = f"/{member}/{_escaped(str(name))}"
        if not name or len(name) > MOST_NAME or "\0" in name:
            faults.append(PlanFault("bad_value", place, f"a name has 1 to {MOST_NAME} characters, and no U+0000"))
            continue
        try:
            refuse_costly(schema)
            found[name] = compile_schema(schema)
        except SchemaRefused as error:
            faults.append(PlanFault("schema_invalid", place + error.path, str(error)))
    return found


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
