"""Asks the streaming job about a profile: a command on `profiles.commands`, the answer on `profiles.replies`.

Each process reads every reply, from the end on and in no group, and keeps those that its own callers wait for. So a
reply finds its question whichever replica asked, and a process that ends leaves nothing behind. Refuses to wait longer
than `timeout_s`.
"""

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from audience.adapters.kafka.driver import base_config
from audience.ports.event_log import EventLog, EventLogUnavailable, LogRecord
from audience.ports.questions import EvaluationUnavailable, NotEvaluated
from audience.wire.topics import COMMANDS, REPLIES, ExplainCommand, ExplainReply, decode_explain_reply, encode, key_of

_POLL_S: Final = 0.2
_CONNECT_S: Final = 5.0
_RETRY_S: Final = 0.5

log = logging.getLogger(__name__)


class KafkaExplainer:
    """Implements `audience.ports.questions.Explainer`. Use `open_explainer`."""

    def __init__(self, bootstrap: str, event_log: EventLog, timeout_s: float) -> None:
        self._bootstrap = bootstrap
        self._event_log = event_log
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, asyncio.Future[ExplainReply]] = {}
        self._listening = asyncio.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="kafka-replies", daemon=True)
        self._thread.start()

    async def explain(self, workspace: str, profile_id: str, segment: str) -> Mapping[str, Any]:
        """Put the question, and wait for its answer."""
        request_id = secrets.token_hex(16)
        command = ExplainCommand(workspace=workspace, profile_id=profile_id, request_id=request_id, segment=segment)
        reply = self._waiting[request_id] = self._loop.create_future()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._listening.wait()  # an answer from before that would be missed
                await self._event_log.append([LogRecord(COMMANDS, key_of(workspace, profile_id), encode(command))])
                answer = await reply
        except TimeoutError as error:
            raise EvaluationUnavailable(f"no answer within {self._timeout_s:g} s") from error
        finally:
            del self._waiting[request_id]
        if answer.explanation is None:
            raise NotEvaluated(answer.error or "segment_not_found")
        explanation: Mapping[str, Any] = answer.explanation
        return explanation

    async def check(self) -> None:
        """Return while replies are being read; raise EventLogUnavailable otherwise."""
        if not self._listening.is_set():
            raise EventLogUnavailable("the topic of replies is not being read yet")

    async def close(self) -> None:
        """Stop reading. Those who still wait run into their time limit."""
        self._closing.set()
        await asyncio.to_thread(self._thread.join)

    def _listen(self) -> None:
        """Read the replies, on a thread of its own, for as long as the explainer is open."""
        while not self._closing.is_set():
            consumer = Consumer(
                {
                    **base_config(self._bootstrap, "replies"),
                    "group.id": "replies",  # the client requires one; nothing is committed, no group is joined
                    "enable.auto.commit": False,
                    "auto.offset.reset": "latest",
                    "fetch.wait.max.ms": 50,
                    "fetch.error.backoff.ms": 100,
                }
            )
            try:
                consumer.assign(_from_the_end(consumer))
                self._tell(self._listening.set)
                while not self._closing.is_set():
                    self._take(consumer.poll(_POLL_S))
            except KafkaException as error:
                log.warning("replies cannot be read; trying again: %s", error.args[0].str())
                self._closing.wait(_RETRY_S)
            except EventLogUnavailable as error:
                log.warning("replies cannot be read; trying again: %s", error)
                self._closing.wait(_RETRY_S)
            finally:
                self._tell(self._listening.clear)
                consumer.close()

    def _take(self, message: Message | None) -> None:
        if message is None:
            return
        if (error := message.error()) is not None:
            raise KafkaException(error)
        key = message.key()
        request_id = key.decode(errors="replace") if isinstance(key, bytes) else ""
        if request_id not in self._waiting:  # another replica's; not worth decoding
            return
        try:
            reply = decode_explain_reply(message.value() or b"")
        except msgspec.MsgspecError as fault:
            log.warning("a reply cannot be read: %s", fault)
            return
        self._tell(self._answer, reply)

    def _answer(self, reply: ExplainReply) -> None:
        future = self._waiting.get(reply.request_id)
        if future is not None and not future.done():
            future.set_result(reply)

    def _tell(self, action: Any, *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(action, *arguments)


def _from_the_end(consumer: Consumer) -> list[TopicPartition]:
    """The end of every partition of replies, as an offset: what comes from now on is read, whenever reading begins."""
    deadline_s = time.monotonic() + _CONNECT_S
    partitions = consumer.list_topics(REPLIES, timeout=_CONNECT_S).topics[REPLIES].partitions
    if not partitions:
        raise EventLogUnavailable(f"there is no topic {REPLIES}")
    places = []
    for partition in partitions:
        left_s = max(0.1, deadline_s - time.monotonic())
        _, end = consumer.get_watermark_offsets(TopicPartition(REPLIES, partition), timeout=left_s)
        places.append(TopicPartition(REPLIES, partition, end))
    return places


@asynccontextmanager
async def open_explainer(bootstrap: str, event_log: EventLog, *, timeout_s: float) -> AsyncIterator[KafkaExplainer]:
    """An explainer for as long as the block lasts. Connects in the background: Kafka may be away."""
    explainer = KafkaExplainer(bootstrap, event_log, timeout_s)
    try:
        yield explainer
    finally:
        await explainer.close()
