"""How a profile lies in a store: two JSON documents beside its version, the same in every store.

Two, because the hottest read wants the memberships alone. JSON, because it holds whatever an event may carry: numbers
beyond 64 bits, U+0000 in strings, any nesting. Memberships are sorted, so that equal ones are equal bytes.
"""

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import msgspec

from audience.profiles.model import Membership, Profile


class _Attributes(msgspec.Struct, frozen=True, gc=False, array_like=True):
    created_ms: int
    updated_ms: int
    traits: dict[str, Any]
    computed: dict[str, Any]


_encode: Final = msgspec.json.Encoder().encode
_decode_attributes: Final = msgspec.json.Decoder(_Attributes).decode
_decode_memberships: Final = msgspec.json.Decoder(list[tuple[str, int]]).decode


def encode_memberships(memberships: Iterable[Membership]) -> bytes:
    """``[["vip", 1700000000000], …]`` in the order of the keys, each once."""
    return _encode(sorted({each.segment: each.since_ms for each in memberships}.items()))


def decode_memberships(document: bytes) -> tuple[Membership, ...]:
    """What `encode_memberships` wrote."""
    return tuple(Membership(segment, since_ms) for segment, since_ms in _decode_memberships(document))


membership_pairs: Final = _decode_memberships
"""The same as plain pairs of key and ``since_ms``, for comparing."""


def encode_attributes(profile: Profile) -> bytes:
    """All of a profile but its id, version and memberships."""
    return _encode((profile.created_ms, profile.updated_ms, profile.traits, profile.computed))


def decode_profile(workspace: str, profile_id: str, version: int, memberships: bytes, attributes: bytes) -> Profile:
    """A profile of its parts."""
    rest = _decode_attributes(attributes)
    return Profile(
        workspace=workspace,
        profile_id=profile_id,
        version=version,
        created_ms=rest.created_ms,
        updated_ms=rest.updated_ms,
        traits=rest.traits,
        computed=rest.computed,
        segments=decode_memberships(memberships),
    )


def by_id(profiles: Iterable[Profile]) -> dict[str, Profile]:
    """What a reader finds of them: those that were forgotten are there for writers alone."""
    return {profile.profile_id: profile for profile in profiles if not profile.forgotten}


def newest(profiles: Iterable[Profile]) -> list[tuple[str, list[Profile]]]:
    """The greatest version of each profile, by workspace, both in order.

    The order is the same for every writer, so that two that lock the same rows cannot wait for each other.
    """
    found: dict[tuple[str, str], Profile] = {}
    for profile in profiles:
        key = (profile.workspace, profile.profile_id)
        if (known := found.get(key)) is None or known.version < profile.version:
            found[key] = profile
    ordered = (found[key] for key in sorted(found))
    return [(workspace, list(group)) for workspace, group in groupby(ordered, attrgetter("workspace"))]
