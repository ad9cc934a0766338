"""Sends purchases as events with the SDK that shops use, `segment-analytics-python`, unchanged. Loses none.

The SDK drops what its queue has no room for, and tells of a failed upload only by a call back: here the queue holds
all that is put into it between two flushes, and the first failure ends the sending.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

from segment.analytics.client import Client

from local.sample.history import Purchase
from local.sample.segments import ORDER

WRITE_KEY: Final = "demo-write-key"
CLIENTS: Final = 4
"""A client uploads one batch at a time; with a few of them the next is made ready while others wait for the answer."""
BATCH: Final = 500
CHUNK: Final = 4000
"""Purchases between two flushes: up to there a sending that was broken off need not be repeated."""


class NotSent(Exception):
    """An event was refused, or could not be delivered."""


class Sender:
    """A few SDK clients. A customer's purchases always go through the same one, and so in order."""

    def __init__(self, address: str) -> None:
        self._failures: list[str] = []
        self._clients = [self._client(address) for _ in range(CLIENTS)]

    def send(self, purchases: Sequence[Purchase], shift: timedelta, sent: Callable[[int], None]) -> None:
        """Send them all; `sent` is told after each chunk how many more were accepted. Raises NotSent."""
        rest = iter(purchases)
        while chunk := list(islice(rest, CHUNK)):
            for purchase in chunk:
                self._enqueue(purchase, shift)
            for client in self._clients:
                client.flush()
            if self._failures:
                raise NotSent(f"{len(self._failures)} uploads failed, the first with: {self._failures[0]}")
            sent(len(chunk))

    def close(self) -> None:
        """End the clients' threads. What they still hold is not waited for."""
        for client in self._clients:
            client.join()

    def _enqueue(self, purchase: Purchase, shift: timedelta) -> None:
        accepted, _ = self._clients[int(purchase.customer) % CLIENTS].track(
            user_id=purchase.profile_id,
            event=ORDER,
            properties={"total": purchase.cents / 100, "quantity": purchase.quantity, "currency": "USD"},
            timestamp=purchase.at(shift),
            message_id=purchase.message_id,
        )
        if not accepted:
            raise NotSent("the SDK's queue is full, which holds a whole chunk: this should not be possible")

    def _client(self, address: str) -> Any:
        return Client(
            WRITE_KEY,
            host=address,
            max_queue_size=CHUNK + BATCH * CLIENTS,  # and room for a batch that waits to be sent again
            on_error=lambda error, _batch: self._failures.append(str(error)),
            upload_size=BATCH,
            upload_interval=0.02,  # how long the last, short batch before a flush waits for more
            max_rate_limit_duration=300,
            proxies={
                "no_proxy": urlsplit(address).hostname
            },  # a proxy that the environment names is not for this machine's parts
        )
