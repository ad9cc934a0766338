"""``POST /v1/memberships/lookup``: the memberships of up to 1,000 profiles in one answer.

Refuses (422) what is not of the contract's shape, and (503) what has had no turn in time: a few are under way at once,
and a body is not looked at before its turn.
"""

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Final

import msgspec

from audience.ports.stores import StoreUnavailable
from audience.profiles.model import Membership
from services._kit.errors import ApiError, FieldError
from services.segments.answers import instant
from services.segments.gates import Gate
from services.segments.metrics import SegmentsMetrics

MOST_IDS: Final = 1_000
AT_ONCE: Final = 6


class _Lookup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    profile_ids: list[str]
    segments: Annotated[list[str], msgspec.Meta(max_length=5_000)] | None = None


_BEGINNINGS: Final = {
    "unknown_key": "Object contains unknown field",
    "missing_key": "Object missing required field",
    "limit_exceeded": "Expected `array` of length <=",
}
_decode: Final = msgspec.json.Decoder(_Lookup).decode
_encode: Final = msgspec.json.Encoder().encode

Fetch = Callable[[str, Sequence[str]], Awaitable[Mapping[str, tuple[Membership, ...]]]]


class Lookups:
    """One for each process."""

    def __init__(self, fetch: Fetch, timeout_s: float, wait_s: float, metrics: SegmentsMetrics) -> None:
        self._fetch = fetch
        self._timeout_s = timeout_s
        self._metrics = metrics
        self._gate = Gate(AT_ONCE, wait_s)
        self._failed_s = -math.inf

    async def answer(self, workspace: str, body: bytes, shown: frozenset[str], now_ms: int) -> bytes:
        """The answer's JSON. Raises ApiError 400, 422, 503, StoreUnavailable within the time limits."""
        arrived_s = asyncio.get_running_loop().time()
        await self._gate.enter()
        try:
            if arrived_s < self._failed_s:
                raise StoreUnavailable("the store failed while this waited")
            return await self._answer(workspace, body, shown, now_ms)
        finally:
            self._gate.leave()

    async def _answer(self, workspace: str, body: bytes, shown: frozenset[str], now_ms: int) -> bytes:
        asked = _read(body)
        if asked.segments is not None:
            shown = shown.intersection(asked.segments)
        found = await self._memberships(workspace, asked.profile_ids)
        memberships = {
            profile_id: [each.segment for each in found.get(profile_id, ()) if each.segment in shown]
            for profile_id in asked.profile_ids
        }
        return _encode({"memberships": memberships, "as_of": instant(now_ms)})

    async def _memberships(self, workspace: str, ids: Sequence[str]) -> Mapping[str, tuple[Membership, ...]]:
        if not ids:
            return {}
        self._metrics.read_profiles.observe(len(ids))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._fetch(workspace, ids)
        except (TimeoutError, StoreUnavailable) as error:
            self._failed_s = asyncio.get_running_loop().time()  # those that wait need not find out one by one
            raise StoreUnavailable(f"no answer within {self._timeout_s:g} s") from error


def _read(body: bytes) -> _Lookup:
    try:
        asked = _decode(body)
    except msgspec.ValidationError as error:
        raise _refused(*_fault(str(error))) from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ApiError(400, "invalid_json", f"the body is not JSON: {error}") from error
    if len(asked.profile_ids) > MOST_IDS:
        raise _refused("limit_exceeded", "/profile_ids", f"may hold {MOST_IDS} ids")
    return asked


def _fault(words: str) -> tuple[str, str, str]:
    """Code, place and words of what msgspec says, as in ``Expected `str`, got `int` - at `$.profile_ids[0]```."""
    message, _, place = words.partition(" - at `$")
    path = "".join(f"/{part}" for part in re.findall(r"\w+", place))
    for code, beginning in _BEGINNINGS.items():
        if message.startswith(beginning):
            return code, path, message
    return "wrong_type", path, message


def _refused(code: str, path: str, message: str) -> ApiError:
    fault = FieldError(code=code, path=path, message=message)
    return ApiError(422, "invalid_request", "the lookup is not of the right shape", errors=[fault])
