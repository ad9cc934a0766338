"""Sending bad events again: repaired, each with its own time, to ingest-api, and no one twice by accident.

`audience-ops` and segment-api share it.
"""

import asyncio
import base64
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from audience.adapters.kafka.bad_events import Filter, Found, KafkaBadEvents
from audience.adapters.kafka.reader import Mark
from audience.adapters.postgres.replays import PostgresReplays
from audience.ports.catalog import Source, SourceCatalog
from audience.wire.repair import NotReplayable, repaired

AT_ONCE: Final = 100
"""Events in a request of a replay."""
TIMEOUT_S: Final = 30.0
_encode: Final = msgspec.json.Encoder().encode


class IngestRefused(Exception):
    """ingest-api did not take a request, so nothing is known of what is in it; a later replay goes on."""


@dataclass(slots=True)
class Replayed:
    """What became of them. `events` are what is sent, or would be; counters are by words and by code."""

    events: list[dict[str, Any]] = field(default_factory=list)
    sent: int = 0
    not_sent: Counter[str] = field(default_factory=Counter)
    bad_again: Counter[str] = field(default_factory=Counter)

    @property
    def accepted(self) -> int:
        return self.sent - sum(self.bad_again.values())


@dataclass(frozen=True, slots=True)
class Replaying:
    """Sends to ingest-api at `url` what `bad_events` holds."""

    bad_events: KafkaBadEvents
    sources: SourceCatalog
    replays: PostgresReplays
    url: str

    async def replay(
        self,
        found: Sequence[Found],
        patch: Mapping[str, Any],
        *,
        again: bool,
        dry_run: bool,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Replayed:
        """Send these again. `again`: those that were sent before too. Raises IngestRefused, StoreUnavailable,
        EventLogUnavailable."""
        sources = {(each.workspace, each.source): each for each in await self.sources.sources()}
        done = frozenset() if again else await self.replays.all()
        result = Replayed()
        ready: dict[Source, list[tuple[Found, dict[str, Any]]]] = {}
        for each in found:
            source = sources.get((each.bad.workspace, each.bad.source))
            if (each.partition, each.offset) in done:
                result.not_sent["it was sent again already"] += 1
            elif source is None:
                result.not_sent["its source is not there, or revoked"] += 1
            else:
                try:
                    event = repaired(each.bad, each.place, patch)
                except NotReplayable as error:
                    result.not_sent[str(error)] += 1
                else:
                    ready.setdefault(source, []).append((each, event))
                    result.events.append(event)
        if ready and not dry_run:
            start = await asyncio.to_thread(self.bad_events.end)
            await self._send(ready, progress)
            result.sent = len(result.events)
            ids = {str(event["messageId"]) for event in result.events}
            result.bad_again = await asyncio.to_thread(self._bad_again, start, ids)
        return result

    async def _send(
        self, ready: Mapping[Source, list[tuple[Found, dict[str, Any]]]], progress: Callable[[int], None]
    ) -> None:
        for source, pairs in ready.items():
            for at in range(0, len(pairs), AT_ONCE):
                part = pairs[at : at + AT_ONCE]
                await asyncio.to_thread(self._post, source.write_key, [event for _, event in part])
                await self.replays.add([(each.partition, each.offset) for each, _ in part])
                progress(len(part))

    def _post(self, write_key: str, events: list[dict[str, Any]]) -> None:
        credentials = base64.b64encode(f"{write_key}:".encode()).decode()
        request = urllib.request.Request(  # noqa: S310  the operator's own setting
            f"{self.url}/v1/batch",
            data=_encode({"batch": events}),
            headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
                return
        except urllib.error.HTTPError as error:
            words = error.read(1_000).decode(errors="replace")
            raise IngestRefused(f"ingest-api answered {error.code}: {words}") from error
        except OSError as error:
            raise IngestRefused(f"ingest-api at {self.url} does not answer: {error}") from error

    def _bad_again(self, start: Mark, ids: set[str]) -> Counter[str]:
        reasons: Counter[str] = Counter()
        for each in self.bad_events.read(Filter(), start):
            try:
                event = msgspec.json.decode(each.bad.original)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
            if isinstance(event, dict) and str(event.get("messageId")) in ids:
                reasons[each.bad.code] += 1
        return reasons
