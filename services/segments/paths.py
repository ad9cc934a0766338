"""Ids in paths: percent-encoded, decoded once, after the path was taken apart. So an id may hold any character, ``/``
and ``%`` included (``a%2Fb`` is the id ``a/b``, ``a%252Fb`` the id ``a%2Fb``).

Servers decode a path before the application sees it, which would take ``a%2Fb`` for two parts; so routing is by the
path as it was sent, and each id is decoded where it is used.
"""

import re
from typing import Annotated, Final
from urllib.parse import unquote_to_bytes

from fastapi import Path
from pydantic import AfterValidator
from starlette.types import Scope

from services._kit.errors import ApiError


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
DEFINITION_KEY: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""Of lists and computed traits."""


def key_in_path(what: str, code: str) -> AfterValidator:
    """Decodes a key. One that holds U+0000, which no key does and no text of the database may, is not found."""

    def decoded(text: str) -> str:
        key = decode_once(text)
        if "\0" in key:
            raise ApiError(404, code, f"there is no {what} {key!r}")
        return key

    return AfterValidator(decoded)


SegmentKey = Annotated[str, key_in_path("segment", "segment_not_found"), Path(description="The segment's key.")]
ListKey = Annotated[str, key_in_path("list", "list_not_found"), Path(description="The list's key.")]
ComputedTraitKey = Annotated[
    str, key_in_path("computed trait", "computed_trait_not_found"), Path(description="The computed trait's key.")
]
