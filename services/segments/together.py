"""Reads from the profile store that go together: many requests in one call.

While a call is under way, the requests that arrive wait and go together into the next one. So the store sees few calls
however many requests there are, and a request alone waits for nobody. Refuses to queue without end: past
`MOST_WAITING` a request is turned away at once, one that has had no turn within `wait_s` is turned away then, and where
a call fails those that wait behind it fail as well, instead of each waiting for its own time limit.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from audience.ports.stores import StoreUnavailable
from services.segments.metrics import SegmentsMetrics

T = TypeVar("T")
MOST_WAITING: Final = 20_000
AT_ONCE: Final = 2
"""How many calls are under way at a time. Two, so that the store works while we encode."""

LARGEST_CALL: Final = 256

Fetch = Callable[[str, Sequence[str]], Awaitable[Mapping[str, T]]]
"""Of a workspace, what is known of these ids."""


class _Asked(NamedTuple, Generic[T]):
    """A profile that was asked for first at `at_s`, and those who wait for it."""

    at_s: float
    waiters: list[asyncio.Future[T | None]]


class Together(Generic[T]):
    """One for each kind of read and process; all requests share it."""

    def __init__(self, fetch: Fetch[T], timeout_s: float, wait_s: float, metrics: SegmentsMetrics) -> None:
        self._fetch = fetch
        self._timeout_s = timeout_s
        self._wait_s = wait_s
        self._metrics = metrics
        self._waiting: dict[str, dict[str, _Asked[T]]] = defaultdict(dict)
        self._count = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._scheduled = False

    async def read(self, workspace: str, profile_id: str) -> T | None:
        """What is known of one profile; None for an unknown one. Raises StoreUnavailable within the time limit."""
        if self._count >= MOST_WAITING:
            raise StoreUnavailable("too many reads are waiting")
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[T | None] = loop.create_future()
        waiting = self._waiting[workspace]
        asked = waiting.get(profile_id)
        if asked is None:
            waiting[profile_id] = _Asked(loop.time(), [waiter])
        else:
            asked.waiters.append(waiter)
        self._count += 1
        if not self._scheduled and len(self._calls) < AT_ONCE:
            # At the end of this turn of the loop, so that requests that arrived together go together.
            self._scheduled = True
            loop.call_soon(self._start)
        return await waiter

    def _start(self) -> None:
        self._scheduled = False
        self._turn_away()
        while self._count and len(self._calls) < AT_ONCE:
            workspace, asked = self._next_call()
            call = asyncio.create_task(self._call(workspace, asked))
            self._calls.add(call)
            call.add_done_callback(self._done)

    def _done(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._start()

    def _turn_away(self) -> None:
        """Those that have waited too long. The first of each workspace have waited longest."""
        before_s = asyncio.get_running_loop().time() - self._wait_s
        for workspace, ids in list(self._waiting.items()):
            late = dict(itertools.takewhile(lambda item: item[1].at_s < before_s, ids.items()))
            for profile_id in late:
                del ids[profile_id]
            if not ids:
                del self._waiting[workspace]
            self._count -= _waiters(late)
            _fail(late, StoreUnavailable(f"no turn within {self._wait_s:g} s"))

    def _next_call(self) -> tuple[str, Mapping[str, "_Asked[T]"]]:
        workspace, ids = next(iter(self._waiting.items()))
        if len(ids) <= LARGEST_CALL:
            del self._waiting[workspace]
            asked = ids
        else:
            asked = {profile_id: ids.pop(profile_id) for profile_id in list(ids)[:LARGEST_CALL]}
            self._waiting[workspace] = self._waiting.pop(workspace)  # behind the other workspaces
        self._count -= _waiters(asked)
        return workspace, asked

    async def _call(self, workspace: str, asked: Mapping[str, "_Asked[T]"]) -> None:
        self._metrics.read_profiles.observe(len(asked))
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await self._fetch(workspace, list(asked))
        except (TimeoutError, StoreUnavailable) as error:
            why = error if isinstance(error, StoreUnavailable) else f"no answer within {self._timeout_s:g} s"
            waiting, self._waiting, self._count = list(self._waiting.values()), defaultdict(dict), 0
            for ids in (asked, *waiting):
                _fail(ids, StoreUnavailable(str(why)))
        except Exception as error:  # noqa: BLE001  each request raises it, and is answered and logged for it
            _fail(asked, error)
        else:
            for profile_id, each in asked.items():
                answer = found.get(profile_id)
                for waiter in each.waiters:
                    if not waiter.done():  # its client may have gone
                        waiter.set_result(answer)


def _waiters(asked: Mapping[str, _Asked[T]]) -> int:
    return sum(len(each.waiters) for each in asked.values())


def _fail(asked: Mapping[str, _Asked[T]], error: Exception) -> None:
    for each in asked.values():
        for waiter in each.waiters:
            if not waiter.done():
                waiter.set_exception(error)
