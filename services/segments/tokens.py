"""Who may read: API tokens, as Bearer or as the user of Basic, looked up by their SHA-256 and remembered for seconds.

Refuses everything but a known token. While the database is away a token that was known goes on working for a while,
so that reads from the profile store outlive it; one that was never seen is not judged (StoreUnavailable), since a
wrong 401 would tell a client to stop. Counts the requests of each token, and turns away those beyond its rate.
"""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from audience.ports.catalog import TokenAccess, TokenCatalog
from audience.ports.stores import StoreUnavailable
from services._kit.errors import ApiError

MOST_REMEMBERED: Final = 10_000
"""How many tokens, wrong ones included, are remembered. Past it all are forgotten at once, and looked up again."""

_MAX_HEADER_BYTES: Final = 4_096
_NOTHING: Final = TokenAccess("", frozenset())
"""What a wrong token opens."""


@dataclass(slots=True)
class Client:
    """A token that was looked up at `at_s`, and the requests that it has made in the current second."""

    access: TokenAccess
    at_s: float
    second: int = 0
    requests: int = 0


class Tokens:
    """What a request's credentials open. `clock_s` is a monotonic clock, `unix_s` the one on the wall."""

    def __init__(
        self,
        catalog: TokenCatalog,
        fresh_s: float,
        stale_s: float,
        clock_s: Callable[[], float],
        unix_s: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._fresh_s = fresh_s
        self._stale_s = stale_s
        self._clock_s = clock_s
        self._unix_s = unix_s
        self._known: dict[bytes, Client] = {}
        self._used: dict[bytes, float] = {}
        self._asking: dict[bytes, asyncio.Task[Client]] = {}

    def remembered(self, header: bytes | None) -> Client | None:
        """The client, where its token was looked up a moment ago; None where `client_of` has to be asked."""
        token = _token(header)
        known = self._known.get(hashlib.sha256(token).digest()) if token else None
        if known is None or known.access is _NOTHING or self._clock_s() - known.at_s >= self._fresh_s:
            return None
        return known

    async def client_of(self, header: bytes | None) -> Client:
        """The client of the header ``Authorization``. Raises ApiError 401, StoreUnavailable."""
        token = _token(header)
        if not token:
            raise _unauthorized("this needs an API token: `Authorization: Bearer <token>`")
        digest = hashlib.sha256(token).digest()
        known = self._known.get(digest)
        if known is None or self._clock_s() - known.at_s >= self._fresh_s:
            known = await self._ask(digest, known)
        if known.access is _NOTHING:
            raise _unauthorized("the API token is not known: it is wrong, over, or was revoked")
        return known

    def left(self, client: Client, per_second: int) -> int:
        """Count a request; how many more the client may make in this second. Raises ApiError 429."""
        second = int(self._clock_s())
        if client.second != second:
            client.second, client.requests = second, 0
        client.requests += 1
        if client.requests > per_second:
            raise ApiError(
                429,
                "rate_limited",
                f"a token may make {per_second} requests a second",
                headers={"Retry-After": "1", **rate_headers(per_second, 0)},
            )
        return per_second - client.requests

    async def note_use(self) -> None:
        """Tell the catalog which tokens were used since the last time. Raises StoreUnavailable."""
        used, self._used = self._used, {}
        try:
            if used:
                await self._catalog.used(used)
        except StoreUnavailable:
            self._used = {**used, **self._used}
            raise

    async def _ask(self, digest: bytes, before: Client | None) -> Client:
        """Look a token up, once for all requests that carry it just now."""
        asking = self._asking.get(digest)
        if asking is None:
            asking = self._asking[digest] = asyncio.create_task(self._look_up(digest, before))
            asking.add_done_callback(lambda _: self._asking.pop(digest))
        return await asyncio.shield(asking)  # a client that goes away takes nobody's answer with it

    async def _look_up(self, digest: bytes, before: Client | None) -> Client:
        now_s = self._clock_s()
        try:
            found = Client(await self._catalog.access_of(digest) or _NOTHING, now_s)
        except StoreUnavailable:
            if before is None or before.access is _NOTHING or now_s - before.at_s >= self._stale_s:
                raise
            return before
        if found.access is not _NOTHING:
            self._used[digest] = self._unix_s()
        if before is not None:
            found.second, found.requests = before.second, before.requests
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[digest] = found
        return found


def rate_headers(per_second: int, left: int) -> dict[str, str]:
    """How many requests a client may make in this second, and how many of them are left."""
    return {"RateLimit-Limit": str(per_second), "RateLimit-Remaining": str(left), "RateLimit-Reset": "1"}


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
