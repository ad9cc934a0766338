"""A profile's state as versioned bytes; engine/core/src/state.rs says what stands in them. Never a pickle.

A version is decoded for as long as a savepoint of it can exist; decoding an old one migrates it.
"""

from audience_engine import StateVersionUnknown

from audience.engine.state import ProfileState

__all__ = ["StateVersionUnknown", "decode_state", "encode_state", "new_state"]


def new_state(profile_id: str) -> ProfileState:
    """The state of a profile of which nothing is known."""
    return ProfileState(profile_id)


def encode_state(state: ProfileState) -> bytes:
    """The state as bytes; what was opened and changed is packed again."""
    return state.encode()


def decode_state(data: bytes) -> ProfileState:
    """The state that `encode_state` wrote, of this version or an older one. Raises StateVersionUnknown."""
    return ProfileState.decode(data)
