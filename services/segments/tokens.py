"""Who may read: API tokens, as Bearer or as the user of Basic, looked up by their SHA-256 and remembered for seconds.

Refuses everything but a known token. While the database is away a token that was known goes on working for a while,
so that reads from the profile store outlive it; one that was never seen is not judged (StoreUnavailable), since a
wrong 401 would tell a client to stop.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from audience.ports.catalog import TokenCatalog
from audience.ports.stores import StoreUnavailable
from services._kit.errors import ApiError

MOST_REMEMBERED: Final = 10_000
"""How many tokens, wrong ones included, are remembered. Past it all are forgotten at once, and looked up again."""

_MAX_HEADER_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class _Known:
    workspace: str | None
    at_s: float


class Tokens:
    """The workspace that a request's credentials open. `clock_s` is a monotonic clock."""

    def __init__(self, catalog: TokenCatalog, fresh_s: float, stale_s: float, clock_s: Callable[[], float]) -> None:
        self._catalog = catalog
        self._fresh_s = fresh_s
        self._stale_s = stale_s
        self._clock_s = clock_s
        self._known: dict[bytes, _Known] = {}

    def remembered(self, header: bytes | None) -> str | None:
        """The workspace, where the token was looked up a moment ago; None where `workspace_of` has to be asked."""
        token = _token(header)
        known = self._known.get(hashlib.sha256(token).digest()) if token else None
        return known.workspace if known is not None and self._clock_s() - known.at_s < self._fresh_s else None

    async def workspace_of(self, header: bytes | None) -> str:
        """The workspace of the header ``Authorization``. Raises ApiError 401, StoreUnavailable."""
        token = _token(header)
        if not token:
            raise _unauthorized("this needs an API token: `Authorization: Bearer <token>`")
        digest = hashlib.sha256(token).digest()
        known = self._known.get(digest)
        if known is None or self._clock_s() - known.at_s >= self._fresh_s:
            known = await self._look_up(digest, known)
        if known.workspace is None:
            raise _unauthorized("the API token is not known")
        return known.workspace

    async def _look_up(self, digest: bytes, before: _Known | None) -> _Known:
        now_s = self._clock_s()
        try:
            found = _Known(await self._catalog.workspace_of(digest), now_s)
        except StoreUnavailable:
            if before is None or before.workspace is None or now_s - before.at_s >= self._stale_s:
                raise
            return before
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[digest] = found
        return found


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, "unauthorized", message, headers={"WWW-Authenticate": 'Bearer realm="audience"'})


def _token(header: bytes | None) -> bytes:
    """The token of ``Bearer <token>``, or of ``Basic`` with the token as the user; empty where there is none."""
    if header is None or len(header) > _MAX_HEADER_BYTES:
        return b""
    scheme, _, rest = header.partition(b" ")
    rest = rest.strip()
    match scheme.lower():
        case b"bearer":
            return rest
        case b"basic":
            try:
                return base64.b64decode(rest, validate=True).partition(b":")[0]
            except binascii.Error:
                return b""
        case _:
            return b""
