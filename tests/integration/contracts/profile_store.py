"""What every ProfileStore does, whichever it is. A test module gives the class a fixture `store`, and runs it all."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from audience.ports.stores import ProfileStore
from audience.profiles.model import Membership, Profile


def profile(profile_id: str, version: int, *segments: str, workspace: str = "w", **traits: Any) -> Profile:
    return Profile(
        workspace=workspace,
        profile_id=profile_id,
        version=version,
        created_ms=1_700_000_000_000,
        updated_ms=1_700_000_000_000 + version,
        traits=traits,
        computed={"ltv": version},
        segments=tuple(Membership(segment, 1_600_000_000_000 + version) for segment in segments),
    )


ODD_IDS = [
    "plain",
    "with space",
    "a/b%2Fc",
    "ünïcödé",
    "日本",
    "😀",
    "'; DROP TABLE profile_records; --",
    '"',
    "\\",
    "\u0000",
    "a\u0000b",
    "a\u0000c",
    "a",
    ":",
    "w:plain",
    "1",
    "01",
    " ",
    "é",
    "e\u0301",
    "x" * 1_000,
]

ODD_TRAITS: list[Mapping[str, Any]] = [
    {},
    {"nul": "\u0000", "key\u0000": 1},
    {"big": 2**63, "bigger": 2**64, "huge": 10**30, "small": -(2**63), "smaller": -(10**30)},
    {"float": 0.1, "whole": 1.0, "tiny": 5e-324, "large": 1.7976931348623157e308},
    {"true": True, "false": False, "null": None},
    {"nested": {"list": [1, "a", None, {"deep": [[]]}]}},
    {"text": "'\"\\\n\r\t\u2028😀", "": "empty key"},
    {"wide": {f"k{number}": "v" * 100 for number in range(500)}},
]


class ProfileStoreContract:
    """Inherit, and provide the fixture `store`. Workspaces are `w` and `other`; the store begins empty of them."""

    @pytest.fixture
    def store(self) -> ProfileStore:
        raise NotImplementedError

    async def test_nothing_is_known_at_first(self, store: ProfileStore) -> None:
        assert await store.get_many("w", ["a", "b"]) == {}
        assert await store.memberships("w", ["a", "b"]) == {}
        assert await store.get_many("w", []) == {}
        assert await store.put_many([]) == 0
        await store.check()

    async def test_what_was_put_is_there_whole(self, store: ProfileStore) -> None:
        written = profile("a", 1, "vip", "new", email="a@example.com")
        assert await store.put_many([written]) == 1
        found = await store.get_many("w", ["a", "unknown"])
        assert list(found) == ["a"]
        assert _sorted(found["a"]) == _sorted(written)
        assert await store.memberships("w", ["a", "unknown"]) == {"a": _sorted(written).segments}

    async def test_the_greater_version_stays(self, store: ProfileStore) -> None:
        assert await store.put_many([profile("a", 5, "five")]) == 1
        assert await store.put_many([profile("a", 4, "four")]) == 0
        assert await store.put_many([profile("a", 5, "again")]) == 0
        assert (await store.get_many("w", ["a"]))["a"] == profile("a", 5, "five")
        assert await store.put_many([profile("a", 6)]) == 1
        assert (await store.get_many("w", ["a"]))["a"] == profile("a", 6)

    async def test_who_was_forgotten_is_not_found_and_nothing_older_comes_back(self, store: ProfileStore) -> None:
        await store.put_many([profile("a", 5, "five"), profile("b", 5, "five")])
        forgotten = Profile("w", "a", 6, created_ms=0, updated_ms=3)
        assert await store.put_many([forgotten]) == 1
        assert await store.put_many([profile("a", 5, "late")]) == 0
        assert list(await store.get_many("w", ["a", "b"])) == ["b"]
        assert (await store.memberships("w", ["a"]))["a"] == ()
        assert await store.put_many([profile("a", 7, "anew")]) == 1
        assert (await store.get_many("w", ["a"]))["a"] == profile("a", 7, "anew")

    async def test_versions_may_be_as_large_as_64_bits(self, store: ProfileStore) -> None:
        assert await store.put_many([profile("a", 2**62)]) == 1
        assert await store.put_many([profile("a", 2**62 - 1)]) == 0
        assert await store.put_many([profile("a", 2**63 - 1)]) == 1
        assert (await store.get_many("w", ["a"]))["a"].version == 2**63 - 1

    async def test_a_batch_may_hold_several_versions_of_a_profile(self, store: ProfileStore) -> None:
        batch = [profile("a", 2, "two"), profile("b", 1), profile("a", 3, "three"), profile("a", 1, "one")]
        assert await store.put_many(batch) == 2
        assert (await store.memberships("w", ["a"]))["a"][0].segment == "three"

    async def test_a_batch_keeps_what_is_newer_and_leaves_the_rest(self, store: ProfileStore) -> None:
        await store.put_many([profile("a", 5), profile("b", 5)])
        assert await store.put_many([profile("a", 4), profile("b", 6), profile("c", 1)]) == 2
        found = await store.get_many("w", ["a", "b", "c"])
        assert {key: each.version for key, each in found.items()} == {"a": 5, "b": 6, "c": 1}

    async def test_workspaces_do_not_see_each_other(self, store: ProfileStore) -> None:
        await store.put_many([profile("a", 1, workspace="w"), profile("a", 7, workspace="other")])
        assert (await store.get_many("w", ["a"]))["a"].version == 1
        assert (await store.get_many("other", ["a"]))["a"].version == 7
        assert await store.get_many("third", ["a"]) == {}

    async def test_any_json_string_is_an_id(self, store: ProfileStore) -> None:
        batch = [profile(odd, index + 1, "vip", id=odd) for index, odd in enumerate(ODD_IDS)]
        assert await store.put_many(batch) == len(ODD_IDS)
        found = await store.get_many("w", ODD_IDS)
        assert set(found) == set(ODD_IDS)
        assert all(each.profile_id == key == each.traits["id"] for key, each in found.items())
        assert set(await store.memberships("w", ODD_IDS)) == set(ODD_IDS)

    @pytest.mark.parametrize("traits", ODD_TRAITS, ids=lambda traits: next(iter(traits), "none"))
    async def test_any_json_is_a_trait(self, store: ProfileStore, traits: Mapping[str, Any]) -> None:
        written = Profile("w", "a", 1, 1, 2, traits=traits, computed=traits)
        await store.put_many([written])
        found = (await store.get_many("w", ["a"]))["a"]
        assert repr(found.traits) == repr(traits)  # 1 is not 1.0, and the order of keys stays
        assert found.computed == traits

    async def test_asking_twice_for_one_id_gives_it_once(self, store: ProfileStore) -> None:
        await store.put_many([profile("a", 1)])
        assert len(await store.get_many("w", ["a", "a", "a"])) == 1
        assert len(await store.memberships("w", ["a", "a"])) == 1

    async def test_many_at_once(self, store: ProfileStore) -> None:
        ids = [f"user-{number}" for number in range(1_200)]
        assert await store.put_many([profile(each, 1, "vip") for each in ids]) == len(ids)
        assert len(await store.get_many("w", ids)) == len(ids)
        assert len(await store.memberships("w", ids)) == len(ids)

    async def test_a_rewrite_mends_the_same_version_and_no_newer_one(self, store: ProfileStore) -> None:
        await store.put_many([profile("a", 5, "wrong"), profile("b", 7, "vip")])
        assert await store.put_many([profile("a", 5, "vip")]) == 0
        assert await store.rewrite([profile("a", 5, "vip"), profile("b", 6, "old"), profile("c", 1, "new")]) == 2
        found = await store.memberships("w", ["a", "b", "c"])
        assert {key: [each.segment for each in kept] for key, kept in found.items()} == {
            "a": ["vip"],
            "b": ["vip"],
            "c": ["new"],
        }

    async def test_writers_side_by_side_leave_the_greatest_of_all(self, store: ProfileStore) -> None:
        chance = random.Random(7)  # noqa: S311  a seeded test
        ids = [f"user-{number}" for number in range(40)]
        batches = [
            [profile(each, chance.randrange(1, 1_000), "vip") for each in chance.sample(ids, 30)] for _ in range(20)
        ]
        await asyncio.gather(*map(store.put_many, batches))
        greatest: dict[str, int] = {}
        for each in (each for batch in batches for each in batch):
            greatest[each.profile_id] = max(each.version, greatest.get(each.profile_id, 0))
        found = await store.get_many("w", ids)
        assert {key: each.version for key, each in found.items()} == greatest


def _sorted(written: Profile) -> Profile:
    """A profile with its memberships in the order of their keys, as stores give them."""
    ordered = tuple(sorted(written.segments, key=lambda each: each.segment))
    return Profile(
        written.workspace,
        written.profile_id,
        written.version,
        written.created_ms,
        written.updated_ms,
        dict(written.traits),
        dict(written.computed),
        ordered,
    )
