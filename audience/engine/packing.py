"""Lists of whole numbers as few bytes, with the standard library's C loops alone.

A packed list is one byte for the width of an item, two for the length, then the items, little-endian. Numbers that
need more than 64 bits are written as text. The format is part of a profile's stored state: a change of it needs a
new state version (audience/wire/state.py).
"""

import struct
import sys
from array import array
from typing import Final

_UNSIGNED: Final = "BHIQ"
_SIGNED: Final = "bhiq"
_TEXT: Final = 0
_HEAD: Final = struct.Struct("<BH")
_BIG_ENDIAN: Final = sys.byteorder == "big"

LONGEST: Final = 65_535
"""How many items a packed list can hold."""


def pack_unsigned(items: list[int]) -> bytes:
    """Numbers from 0 on."""
    try:
        return _HEAD.pack(ord("B"), len(items)) + bytes(items)
    except ValueError:
        return _pack(items, _UNSIGNED[1:])


def pack_signed(items: list[int]) -> bytes:
    """Numbers of any sign and size."""
    return _pack(items, _SIGNED)


def _pack(items: list[int], codes: str) -> bytes:
    for code in codes:
        try:
            packed = array(code, items)
        except OverflowError:
            continue
        if _BIG_ENDIAN:
            packed.byteswap()
        return _HEAD.pack(ord(code), len(items)) + packed.tobytes()
    text = ",".join(map(str, items)).encode()
    return _HEAD.pack(_TEXT, len(items)) + len(text).to_bytes(4, "little") + text


def unpack(data: bytes, start: int) -> tuple[list[int], int]:
    """The list that begins at `start`, and where it ends."""
    code, length = _HEAD.unpack_from(data, start)
    start += _HEAD.size
    if code == 66:  # ord("B"), by far the most frequent
        return list(data[start : start + length]), start + length
    if code == _TEXT:
        end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        return [int(item) for item in data[start + 4 : end].split(b",") if item], end
    packed = array(chr(code))
    end = start + length * packed.itemsize
    packed.frombytes(data[start:end])
    if _BIG_ENDIAN:
        packed.byteswap()
    return packed.tolist(), end


def pack_doubles(items: list[float]) -> bytes:
    """IEEE doubles to the end of the data."""
    packed = array("d", items)
    if _BIG_ENDIAN:
        packed.byteswap()
    return packed.tobytes()


def unpack_doubles(data: bytes, start: int) -> list[float]:
    """The doubles from `start` to the end."""
    packed = array("d")
    packed.frombytes(data[start:])
    if _BIG_ENDIAN:
        packed.byteswap()
    return packed.tolist()
