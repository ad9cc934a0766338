"""What is done beside the requests, by whichever process is first: sizes are sampled, what is too old is forgotten, and
the tokens' last use is written down. A part that is away is tried again a moment later.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from audience.ports.catalog import IdempotencyKeys
from audience.ports.memberships import SizeHistory
from audience.ports.stores import StoreUnavailable
from services.segments.idempotency import KEPT_MS
from services.segments.tokens import Tokens

TOKENS_EVERY_S: Final = 10
SAMPLE_EVERY_S: Final = 60
TIDY_EVERY_S: Final = 600

log = structlog.stdlib.get_logger(__name__)


class Housekeeping:
    """Use `run` as a background task."""

    def __init__(
        self, sizes: SizeHistory, idempotency: IdempotencyKeys, tokens: Tokens, now_ms: Callable[[], int]
    ) -> None:
        self._sizes = sizes
        self._idempotency = idempotency
        self._tokens = tokens
        self._now_ms = now_ms

    async def run(self) -> None:
        """Keep house, until cancelled. A sample is taken as its minute begins."""
        turns = (
            (TOKENS_EVERY_S, self._tokens.note_use),
            (SAMPLE_EVERY_S, self._sample),
            (TIDY_EVERY_S, self._tidy),
        )
        done = dict.fromkeys((work for _, work in turns), 0)
        while True:
            for every_s, work in turns:
                turn = self._now_ms() // (every_s * 1_000)
                if done[work] != turn and await self._attempt(work):
                    done[work] = turn
            await asyncio.sleep(1 - time.time() % 1)

    async def _sample(self) -> None:
        await self._sizes.sample(self._now_ms())

    async def _tidy(self) -> None:
        await self._sizes.thin(self._now_ms())
        await self._idempotency.forget(self._now_ms() - KEPT_MS)

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> bool:
        try:
            await work()
        except StoreUnavailable as error:
            log.warning("the house is not kept; trying again", work=work.__name__, error=str(error))
            return False
        except Exception:
            log.exception("a part of housekeeping failed", work=work.__name__)
        return True
