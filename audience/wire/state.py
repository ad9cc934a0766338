"""A profile's state as versioned bytes: msgpack behind one byte that names the version. Never a pickle.

A version is decoded for as long as a savepoint of it can exist; decoding an old one migrates it. What is kept for a
series stays bytes until somebody looks at it.
"""

from typing import Any, Final

import msgspec

from audience.engine.state import Codec, ProfileState

VERSION: Final = 1


class StateVersionUnknown(ValueError):
    """The bytes are of a version that this code does not know; a newer job wrote them."""


class _State(msgspec.Struct, array_like=True, gc=False):
    """Version 1."""

    profile_id: str
    created_ms: int
    updated_ms: int
    now_ms: int
    latest_ms: int
    events: int
    version: int
    armed_ms: int
    revision: int
    computed: dict[str, Any]
    lists: list[str]
    ids: list[tuple[int, bytes]]
    dues: dict[int | str, int]
    trails: dict[int, bytes]
    segments: bytes
    moves: dict[str, int | None]
    traits: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_State).decode
_PREFIX: Final = bytes((VERSION,))
_CODEC: Final = Codec(_encode, msgspec.msgpack.Decoder(strict=True).decode)


def new_state(profile_id: str) -> ProfileState:
    """The state of a profile of which nothing is known."""
    return ProfileState(profile_id, _CODEC)


def encode_state(state: ProfileState) -> bytes:
    """The state as bytes; what was opened and changed is packed again."""
    trails, segments, traits = state.pack()
    return _PREFIX + _encode(
        _State(
            state.profile_id,
            state.created_ms,
            state.updated_ms,
            state.now_ms,
            state.latest_ms,
            state.events,
            state.version,
            state.armed_ms,
            state.revision,
            state.computed,
            list(state.lists),
            state.ids,
            state.dues,
            trails,
            segments,
            state.moves,
            traits,
        )
    )


def decode_state(data: bytes) -> ProfileState:
    """The state that `encode_state` wrote, of this version or an older one. Raises StateVersionUnknown."""
    if data[0] != VERSION:
        raise StateVersionUnknown(f"a profile's state has version {data[0]}; this code knows {VERSION}")
    found = _decode(memoryview(data)[1:])
    state = ProfileState(
        found.profile_id,
        _CODEC,
        trails=found.trails,
        segments=found.segments,
        moves=found.moves,
        traits=found.traits,
    )
    state.created_ms = found.created_ms
    state.updated_ms = found.updated_ms
    state.now_ms = found.now_ms
    state.latest_ms = found.latest_ms
    state.events = found.events
    state.version = found.version
    state.armed_ms = found.armed_ms
    state.revision = found.revision
    state.computed = found.computed
    state.lists = set(found.lists)
    state.ids = found.ids
    state.dues = found.dues
    return state
