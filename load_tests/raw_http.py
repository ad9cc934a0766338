"""HTTP/1.1 by hand, for load: one request at a time on each connection, no parsing beyond the status and the length.

A client library would cost more than the service under test. Refuses chunked answers; the services give lengths.
"""

import asyncio
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_RETRY_AFTER: Final = re.compile(rb"\r\nretry-after: *(?:[1-9][0-9]?|[12][0-9]{2}|300) *(?:\r\n|\Z)")


@dataclass(slots=True)
class Answers:
    """What one connection was answered."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    no_retry_after: int = 0
    """How many 429 and 503 came without a Retry-After of 1 to 300 whole seconds."""


class _Line(asyncio.Protocol):
    """One connection. `answer` completes with the status when the answer is whole."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[int] | None = None
        self.head = b""
        """Of the last answer, in small letters."""
        self._seen = b""

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, blank, body = self._seen.partition(b"\r\n\r\n")
        if not blank or self.answer is None:
            return
        lowered = head.lower()
        at = lowered.find(b"content-length:")
        length = int(lowered[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) >= length:
            self._seen, self.head = b"", lowered
            answer, self.answer = self.answer, None
            answer.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(exc or ConnectionResetError("the server closed the connection"))


async def drive(
    host: str,
    port: int,
    until_s: float,
    request: Callable[[int], bytes | bytearray],
    acknowledged: Callable[[int], None],
    every_s: float = 0.0,
) -> Answers:
    """Send `request(0)`, `request(1)`, … on one connection until `time.perf_counter()` passes `until_s`.

    `acknowledged` is told the number of every request that was answered with 200. With `every_s` each request is due so
    long after the one before; the first at a moment of its own, so that connections do not march in step. Its time
    counts from when it was due, so that an answer which holds up its connection's next requests counts with them too.
    """
    loop = asyncio.get_running_loop()
    transport, line = await loop.create_connection(_Line, host, port)
    answers = Answers()
    number = 0
    try:
        await asyncio.sleep(random.random() * every_s)
        due_s = time.perf_counter()
        while (now_s := time.perf_counter()) < until_s:
            started_s = due_s if every_s else now_s
            line.answer = answer = loop.create_future()
            transport.write(request(number))
            status = await answer
            answers.seconds.append(time.perf_counter() - started_s)
            answers.statuses[status] = answers.statuses.get(status, 0) + 1
            if status == 200:
                acknowledged(number)
            elif status in (429, 503) and _RETRY_AFTER.search(line.head) is None:
                answers.no_retry_after += 1
            number += 1
            if every_s:
                due_s += every_s
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
    finally:
        transport.close()
    return answers
