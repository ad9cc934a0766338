"""Who sends a request: the user of Basic, or else the `writeKey` of the body (segment-protocol, rule 4).

Basic counts where both are given, and is judged before the body is read. Another scheme than Basic is not ours (a proxy
may use it), and the body is asked. Refuses with 401, and with 503 while no sources are known.
"""

import base64
import binascii
from functools import lru_cache
from typing import Any

from audience.ports.catalog import Source
from services._kit.errors import ApiError, unavailable
from services.ingest.sources import Sources, SourcesUnknown


@lru_cache(maxsize=1024)  # an SDK sends the same one with every request
def basic_user(authorization: bytes | None) -> str | None:
    """The user name in an Authorization header; None where there is none. Raises ApiError where it cannot be read."""
    if authorization is None:
        return None
    scheme, _, encoded = authorization.strip().partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, _ = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise unauthorized("the Authorization header is not base64 of a write key and a colon") from error
    if not colon:
        raise unauthorized("the Authorization header holds no colon after the write key")
    return user or None


def source_of(write_key: Any, sources: Sources) -> Source:
    """The source that a write key opens. Raises ApiError."""
    if write_key is None or write_key == "":
        raise unauthorized("no write key: give it as the user name of Basic, or as writeKey in the body")
    try:
        source = sources.find(write_key) if isinstance(write_key, str) else None
    except SourcesUnknown as error:
        raise unavailable("the catalog of sources") from error
    if source is None:
        raise unauthorized("this write key is not known")
    return source


def unauthorized(message: str) -> ApiError:
    """401, without WWW-Authenticate: a browser would ask its user for a password."""
    return ApiError(401, "unauthorized", message)
