"""Preview beside the oracle: random rules over random histories that went through the lake."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pytest

from audience.adapters.lake.histories import DuckLakeReader
from audience.adapters.lake.tables import LakeLocation
from audience.adapters.regex import compile_regex
from audience.rules import parse_computed_trait, parse_rule
from services.segments.previewing import FROZEN, Preview, Previewed, Previews
from tests.generate import pair, world_of
from tests.integration.lake.lakes import BOUNDS, entries_of, fill, location_in, records_of
from tests.oracle import World, member

PAIRS = int(os.environ.get("AUDIENCE_PREVIEW_PAIRS", "500"))
ENOUGH_S = 60.0


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> LakeLocation:
    """Each pair in a workspace of its own."""
    location = location_in(tmp_path_factory.mktemp("previews"))
    places: dict[int, int] = {}
    entries = []
    for number in range(PAIRS):
        entries += entries_of(records_of(world_of(pair(number)), f"w{number}"), places)
    fill(location, entries, 1)
    return location


@pytest.fixture(scope="module")
def reader(lake: LakeLocation) -> Iterator[DuckLakeReader]:
    opened = DuckLakeReader(lake, BOUNDS)
    yield opened
    opened.close()


def asked_of(number: int) -> tuple[Preview, World]:
    generated = pair(number)
    world = world_of(generated)
    rules = {key: rule for key, rule in world.segments.items() if not isinstance(rule, bool)}
    preview = Preview(
        workspace=f"w{number}",
        rule=parse_rule(generated["rule"], regex=compile_regex),
        now_ms=generated["now_ms"],
        segments={key: parse_rule(rule, regex=compile_regex) for key, rule in rules.items()},
        paused=frozenset(world.segments.keys() - rules.keys()),
        computed_traits=[
            parse_computed_trait(definition, regex=compile_regex) for definition in world.computed_traits.values()
        ],
    )
    return preview, world


def preview_of(reader: DuckLakeReader, asked: Preview, world: World) -> Previewed:
    frozen = {FROZEN + key for key, segment in world.segments.items() if segment is True}

    def belongings(profile_ids: Sequence[str]) -> Mapping[str, frozenset[str]]:
        return {world.profile_id: world.lists | frozen} if world.profile_id in profile_ids else {}

    return Previews(reader, compile_regex).preview(asked, belongings, ENOUGH_S)


def members_of(number: int, world: World, now_ms: int) -> set[str]:
    """Who is a member, by the oracle."""
    events = tuple(replace(each, time_ms=min(each.time_ms, each.received_ms)) for each in world.events)
    found = set()
    for profile_id in {event.profile_id for event in events}:
        mine = tuple(each for each in events if each.profile_id == profile_id)
        subject = profile_id == world.profile_id
        segments = {
            key: rule if subject or not isinstance(rule, bool) else False for key, rule in world.segments.items()
        }
        own = World(profile_id, mine, segments, world.lists if subject else frozenset(), world.computed_traits)
        if member(pair(number)["rule"], own, now_ms):
            found.add(profile_id)
    return found


def test_preview_equals_the_oracle(reader: DuckLakeReader) -> None:
    wrong, members, narrowed = [], 0, 0
    for number in range(PAIRS):
        asked, world = asked_of(number)
        wanted = members_of(number, world, asked.now_ms)
        found = preview_of(reader, asked, world)
        members += len(wanted)
        narrowed += found.evaluated < len({event.profile_id for event in world.events})
        if not found.exact or set(found.sample) != wanted or found.size != len(wanted):
            wrong.append(f"pair {number}: {sorted(wanted)} wanted, {found}")
    print(f"{PAIRS} rules, {members} memberships, {narrowed} previews left profiles out")
    assert wrong == []
    assert members > PAIRS / 10
    assert narrowed > PAIRS / 10  # else the candidates are everybody, and nothing of their finding is tried
