"""Ids in paths: percent-encoded, decoded once, after the path was taken apart. So an id may hold any character, ``/``
and ``%`` included (``a%2Fb`` is the id ``a/b``, ``a%252Fb`` the id ``a%2Fb``).

Servers decode a path before the application sees it, which would take ``a%2Fb`` for two parts; so routing is by the
path as it was sent, and each id is decoded where it is used.
"""

from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import Path
from pydantic import AfterValidator
from starlette.types import Scope


def decode_once(text: str) -> str:
    """An id as it stands in a path, decoded. Raises ValueError where its bytes are not UTF-8."""
    return unquote_to_bytes(text.encode("latin-1")).decode() if "%" in text or not text.isascii() else text


def as_sent(scope: Scope) -> str:
    """The path as the client sent it, without the query; a character for each byte."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        path: str = scope["path"]
        return path
    return raw.decode("latin-1")


ProfileId = Annotated[str, AfterValidator(decode_once), Path(description="The profile's id, percent-encoded.")]
SegmentKey = Annotated[str, AfterValidator(decode_once), Path(description="The segment's key.")]
