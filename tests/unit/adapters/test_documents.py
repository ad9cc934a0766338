"""How profiles lie in stores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.adapters import documents
from audience.profiles.model import Membership, Profile

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
MEMBERSHIPS = st.dictionaries(st.text(min_size=1), st.integers(-(2**63), 2**63 - 1), max_size=5)


def profile(profile_id: str, version: int, workspace: str = "w") -> Profile:
    return Profile(workspace, profile_id, version, 1, 2)


@given(st.dictionaries(st.text(), JSON, max_size=4), MEMBERSHIPS)
def test_nothing_is_lost(traits: dict[str, object], memberships: dict[str, int]) -> None:
    segments = tuple(Membership(key, since_ms) for key, since_ms in sorted(memberships.items()))
    written = Profile("w", "a", 3, 1, 2, traits=traits, computed=traits, segments=segments)
    read = documents.decode_profile(
        "w", "a", 3, documents.encode_memberships(segments), documents.encode_attributes(written)
    )
    assert read == written
    assert repr(read.traits) == repr(traits)


@given(st.permutations(["a", "b", "c"]))
def test_equal_memberships_are_equal_bytes(keys: list[str]) -> None:
    assert documents.encode_memberships(Membership(key, 1) for key in keys) == b'[["a",1],["b",1],["c",1]]'


def test_newest_gives_each_profile_once_in_one_order() -> None:
    batch = [profile("b", 1), profile("a", 2), profile("a", 3), profile("a", 1), profile("a", 9, "v")]
    assert documents.newest(batch) == [
        ("v", [profile("a", 9, "v")]),
        ("w", [profile("a", 3), profile("b", 1)]),
    ]
    assert documents.newest([]) == []


def test_of_equal_versions_the_first_stays() -> None:
    first, second = Profile("w", "a", 1, 1, 1), Profile("w", "a", 1, 2, 2)
    assert documents.newest([first, second]) == [("w", [first])]


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**70), 10**40])
def test_numbers_beyond_64_bits(number: int) -> None:
    written = Profile("w", "a", 1, 1, 1, traits={"n": number})
    read = documents.decode_profile("w", "a", 1, b"[]", documents.encode_attributes(written))
    assert read.traits == {"n": number}
