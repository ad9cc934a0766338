"""The official client behind asyncio: connected when the server serves, called from a bounded pool of threads.

The client has no asyncio of its own; it may be shared by threads and lets go of the interpreter's lock while it waits.
A call beyond `max_conns_per_node` would fail at once, so the pool stays far below it. Every failure becomes the port's
in `mapped`. Refuses settings that the client does not know (``validate_keys``; left alone it ignores them silently).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, TypeAlias, TypeVar

import aerospike
import structlog
from aerospike import exception
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential, wait_random

from audience.ports.stores import RecordRefused, StoreUnavailable

T = TypeVar("T")
THREADS: Final = 16
MAX_CONNS_PER_NODE: Final = 100
RECORD_TOO_BIG: Final = 13

_LOGGED_EVERY: Final = 20
log = structlog.stdlib.get_logger(__name__)


Login: TypeAlias = tuple[str, str]
"""User and password, where the server asks for them (Enterprise Edition)."""


def config_of(hosts: Sequence[tuple[str, int]], timeout_ms: int, login: Login | None = None) -> dict[str, Any]:
    """The client's configuration. Reads are tried again by the client, writes by whoever asked for them."""
    return {
        "hosts": list(hosts),
        **({} if login is None else {"user": login[0], "password": login[1]}),
        "validate_keys": True,
        "max_conns_per_node": MAX_CONNS_PER_NODE,
        "policies": {
            "batch": {"total_timeout": timeout_ms, "socket_timeout": timeout_ms // 2, "max_retries": 2},
            "batch_parent_write": {"total_timeout": timeout_ms, "socket_timeout": timeout_ms, "max_retries": 0},
        },
    }


@contextmanager
def mapped() -> Iterator[None]:
    """Turn the client's failures inside the block into the port's."""
    try:
        yield
    except exception.ParamError as error:  # a value that its types cannot hold; nothing was sent
        raise RecordRefused(f"Aerospike: {error.msg}") from error
    except exception.AerospikeError as error:
        if error.code == RECORD_TOO_BIG:
            raise RecordRefused(f"Aerospike: {error.msg}") from error
        raise StoreUnavailable(f"Aerospike: {type(error).__name__}: {error.msg} ({error.code})") from error


class Client:
    """Calls the client on a thread. Use `open_client`."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._client: Any = None
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="aerospike")

    async def call(self, action: Callable[[Any], T]) -> T:
        """``action(client)``. Raises StoreUnavailable, RecordRefused."""
        client = self._client
        if client is None:
            raise StoreUnavailable("Aerospike: not connected yet")
        with mapped():
            return await asyncio.get_running_loop().run_in_executor(self._threads, action, client)

    async def connect(self) -> None:
        """Connect, however long it takes until the server serves: some two seconds after its start."""
        connect = AsyncRetrying(
            retry=retry_if_exception_type(exception.AerospikeError),
            wait=wait_exponential(multiplier=0.2, max=5) + wait_random(0, 0.2),
            before_sleep=_note,
        )
        async for attempt in connect:
            with attempt:
                loop = asyncio.get_running_loop()
                self._client = await loop.run_in_executor(self._threads, aerospike.client, self._config)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._client.close)
        self._threads.shutdown(wait=False)


def _note(state: RetryCallState) -> None:
    if state.attempt_number % _LOGGED_EVERY == 1 and state.outcome is not None:
        log.warning("Aerospike does not serve yet; trying again", error=str(state.outcome.exception()))


@asynccontextmanager
async def open_client(
    hosts: Sequence[tuple[str, int]], timeout_ms: int, login: Login | None = None
) -> AsyncIterator[Client]:
    """A client for as long as the block lasts. Connects in the background: the server may start later."""
    client = Client(config_of(hosts, timeout_ms, login))
    connecting = asyncio.create_task(client.connect())
    try:
        yield client
    finally:
        connecting.cancel()
        with suppress(asyncio.CancelledError):
            await connecting
        await client.close()
