"""Reads docs/rules.md: the rules in it, the histories that they are tried on, and the answers that the page states.

A fenced `json` block is a segment where it has a `rule`, a computed trait where it has a `key` and an `event`, and else
a rule. A rule, or a segment, may be followed by

- a paragraph `*In words:* …`, which says what `describe` says;
- a table `| when | what happens | member |`, with a column `measured` before the last where a number is shown. `when`
  is relative to noon UTC on 1 March 2026, and each row is an instant: what happens there, and the answer afterwards;
- a table `| code | path |` for a rule that is refused.

What happens is nothing, or one of

    `Order Completed`                      a track event; page `Cart` and screen `Home` are the others
    `Order Completed` `{"total": 5}`       with properties; context `{…}` may follow
    `Order Completed` of +1h               with a time of its own: it arrives late
    identify `{"plan": "pro"}`             traits
    the same again                         a copy of the event before
    on list `press`, off list `press`      the profile is put on a list, or taken off

A rule may refer to the segments and computed traits of its section, which is all up to the next heading.
It refuses, with `PageError`, whatever does not look like this.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.conformance.cases import instant_ms
from tests.oracle.times import date_ms
from tests.oracle.world import Event, JsonObject

PAGE: Final = Path(__file__).parents[2] / "docs" / "rules.md"
PROFILE_ID: Final = "ada"
START: Final = "2026-03-01T12:00:00Z"

_CODE = r"`([^`]*)`"
_HAPPENS = re.compile(
    rf"(?:(?P<kind>page|screen|identify) )?(?:{_CODE.replace('(', '(?P<name>', 1)})?"
    rf"(?: ?{_CODE.replace('(', '(?P<properties>', 1)})?(?: context {_CODE.replace('(', '(?P<context>', 1)})?"
    r"(?: of (?P<of>\S+))?"
)
_LIST = re.compile(rf"(on|off) list {_CODE}")
_ANSWERS = {"yes": True, "no": False}


class PageError(ValueError):
    """A part of the page that cannot be read: where it is and what is wrong."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What happened at an instant, and what was so afterwards."""

    now_ms: int
    event: Event | None
    list_change: tuple[str, bool] | None
    """The list, and whether the profile is on it from now on."""
    member: bool
    measured: Any
    measures: bool


@dataclass(slots=True)
class Example:
    """A rule, or a segment's, and what the page says of it."""

    section: str
    number: int
    rule: JsonObject
    segments: Mapping[str, JsonObject]
    computed_traits: Mapping[str, JsonObject]
    words: str | None = None
    moments: list[Moment] = field(default_factory=list)
    errors: set[tuple[str, str]] = field(default_factory=set)

    @property
    def name(self) -> str:
        return f"{self.section}, rule {self.number}"


@dataclass(slots=True)
class Section:
    """A heading and what follows it, up to the next one."""

    title: str
    level: int
    lines: list[str] = field(default_factory=list)


def sections(text: str) -> list[Section]:
    """The page's sections."""
    found = [Section("", 0)]
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        heading = re.fullmatch(r"(#+) (.*)", line)
        if heading and not fenced:
            found.append(Section(heading[2], len(heading[1])))
        else:
            found[-1].lines.append(line)
    return found


def examples(text: str) -> list[Example]:
    """Every rule on the page that is not refused by the reader itself."""
    return [example for section in sections(text) for example in _examples(section)]


def table(section: Section, *head: str) -> list[list[str]]:
    """The rows of the section's table with such a head; their cells as text. PageError: there is none."""
    rows = [_cells(line) for line in section.lines if line.startswith("|")]
    if list(head) not in rows:
        raise PageError(f"{section.title}: no table {head}")
    return [row for row in rows[rows.index(list(head)) + 2 :] if len(row) == len(head)]


def code_of(cell: str) -> str:
    """What stands in a cell as code."""
    match = re.fullmatch(_CODE, cell)
    if match is None:
        raise PageError(f"{cell!r} is not code")
    return match[1]


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _examples(section: Section) -> Iterator[Example]:
    segments: dict[str, JsonObject] = {}
    computed_traits: dict[str, JsonObject] = {}
    example: Example | None = None
    number = 0
    head: list[str] = []
    lines = iter(section.lines)
    for line in lines:
        if line == "```json":
            if example is not None:
                yield example
            data = _json(section, "\n".join(iter(lambda: next(lines), "```")))
            example = None
            if "key" in data and "rule" not in data:
                computed_traits[data["key"]] = data
                continue
            number += 1
            rule = data.get("rule", data)
            example = Example(section.title, number, rule, dict(segments), dict(computed_traits))
            if "rule" in data:
                segments[data["key"]] = rule
        elif line.startswith("*In words:* "):
            if example is None:
                raise PageError(f"{section.title}: words without a rule")
            wrapped = iter(lambda: next(lines, ""), "")
            example.words = " ".join([line, *wrapped]).removeprefix("*In words:* ")
        elif line.startswith("|"):
            cells = _cells(line)
            head = head or cells
            if example is not None and cells != head and not set(line) <= set("|-: "):
                _read_row(example, head, cells)
        else:
            head = []
    if example is not None:
        yield example


def _json(section: Section, text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise PageError(f"{section.title}: {error} in {text}") from error
    if not isinstance(data, dict):
        raise PageError(f"{section.title}: {text} is no object")
    return data


def _read_row(example: Example, head: list[str], cells: list[str]) -> None:
    if head == ["code", "path"]:
        example.errors.add((code_of(cells[0]), code_of(cells[1])))
    elif head in (["when", "what happens", "member"], ["when", "what happens", "measured", "member"]):
        row = dict(zip(head, cells, strict=True))
        try:
            moment = _moment(example, row)
        except (KeyError, ValueError) as error:
            raise PageError(f"{example.name}: {cells}: {error}") from error
        if example.moments and example.moments[-1].now_ms >= moment.now_ms:
            raise PageError(f"{example.name}: {cells} is no later than the row above")
        example.moments.append(moment)


def _moment(example: Example, row: dict[str, str]) -> Moment:
    start_ms = date_ms(START)
    now_ms = instant_ms(0 if row["when"] == "0" else row["when"].replace(" ", ""), start_ms)
    happens = row["what happens"]
    member = _ANSWERS[row["member"]]
    measured = row.get("measured")
    value = json.loads(measured) if measured and measured != "nothing" else None
    change = _LIST.fullmatch(happens)
    event = None
    if change is None and happens == "the same again":
        event = [moment.event for moment in example.moments if moment.event is not None][-1]
        event = Event(**{**_fields(event), "received_ms": now_ms})
    elif change is None and happens:
        event = _event(happens, now_ms, f"m{len(example.moments)}", start_ms)
    list_change = None if change is None else (change[2], change[1] == "on")
    return Moment(now_ms, event, list_change, member, value, measures=measured is not None)


def _fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in Event.__slots__}


def _event(happens: str, now_ms: int, message_id: str, start_ms: int | None) -> Event:
    match = _HAPPENS.fullmatch(happens)
    if match is None:
        raise ValueError(f"{happens!r} is nothing that can happen")
    kind = match["kind"] or "track"
    name, properties = (match["name"] or "", match["properties"] or "{}")
    traits = {}
    if kind == "identify":
        traits, name = json.loads(name), ""
    time_ms = now_ms if match["of"] is None else instant_ms(match["of"], start_ms)
    if time_ms > now_ms:
        raise ValueError("the event is later than its arrival")
    return Event(
        time_ms=time_ms,
        received_ms=now_ms,
        message_id=message_id,
        type=kind,
        name=name,
        user_id=PROFILE_ID,
        properties=json.loads(properties),
        context=json.loads(match["context"] or "{}"),
        traits=traits,
    )
