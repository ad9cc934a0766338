"""From an event to a readable membership, and from a window's end to the exit, on a running platform.

    python -m load_tests.latency --tries 200 --exits 50
    python -m load_tests.canary --port 9109

Saves a segment ``an event within 10 s``, sends events of new profiles one after the other, and asks the segment API
until the membership is there; then waits until each membership has left by itself. Times count from before the event is
sent, and from the due time that the explanation of the membership gives. Needs a platform: `make up`.
"""

import argparse
import asyncio
import os
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from load_tests.figures import Figure, figure, write
from local.settings import load

HOST: Final = "127.0.0.1"
WITHIN: Final = "10s"
LOOK_EVERY_S: Final = 0.002
WATCH_FROM_S: Final = 0.2
"""How long before its due time an exit is watched for; before that, looking would only be load."""
SEND_EVERY_S: Final = 0.02
GIVE_UP_S: Final = 60.0
IN_EFFECT_S: Final = 3.0
"""A new segment is evaluated everywhere within 2 s."""


class NotMeasured(Exception):
    """The platform did not answer as it must."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds over all tries."""

    tries: int
    p50: float
    p95: float
    p99: float
    largest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Spread":
        parts = statistics.quantiles(seconds, n=100, method="inclusive")
        return cls(len(seconds), *(round(1000 * each, 1) for each in (parts[49], parts[94], parts[98], max(seconds))))


class Canary:
    """Sends events and looks for memberships."""

    def __init__(self, ingest: httpx.AsyncClient, segments: httpx.AsyncClient, key: str = "") -> None:
        self._ingest = ingest
        self._segments = segments
        self._key = key or f"canary-{secrets.token_hex(4)}"

    async def __aenter__(self) -> "Canary":
        rule = {"event": self._key, "within": WITHIN}
        asked = {"key": self._key, "rule": rule, "status": "live", "tags": ["canary"]}
        answer = await self._segments.post("/v1/segments", json=asked)
        if answer.status_code != httpx.codes.CONFLICT:  # one that was killed has left it behind
            _ok(answer, 201)
        await asyncio.sleep(IN_EFFECT_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        _ok(await self._segments.delete(f"/v1/segments/{self._key}"), 204)

    async def enter(self, number: int | None = None) -> tuple[str, float]:
        """A profile's id, and the seconds until it was seen to be a member: a new one, or that of this number."""
        profile = f"{self._key}-{secrets.token_hex(6) if number is None else number}"
        began = time.monotonic()
        _ok(await self._ingest.post("/v1/track", json={"userId": profile, "event": self._key}), 200)
        await self._until(profile, member=True)
        return profile, time.monotonic() - began

    async def leave(self) -> float:
        """The seconds from a membership's due time until it was seen to be over. Negative: it left too early."""
        profile, _ = await self.enter()
        told = (await self._asked(f"/v1/profiles/{profile}/explain/{self._key}")).json()
        due_s = datetime.fromisoformat(told["tree"]["next_change_at"]).timestamp()
        await asyncio.sleep(max(0.0, due_s - time.time() - WATCH_FROM_S))
        await self._until(profile, member=False)
        return time.time() - due_s

    async def live_after(self) -> float:
        """The seconds from the creation of a segment until every event that is sent makes a member of it.

        Events of new profiles, spread over all partitions, go out every few milliseconds; the first after which none
        was overlooked tells. What was sent before the segment was live is never looked at again for it.
        """
        key = f"{self._key}-{secrets.token_hex(3)}"
        began = time.monotonic()
        rule = {"event": key, "within": "1h"}
        _ok(await self._segments.post("/v1/segments", json={"key": key, "rule": rule, "status": "live"}), 201)
        sent: list[tuple[str, float]] = []
        while (after := time.monotonic() - began) < IN_EFFECT_S:
            profile = f"{key}-{len(sent)}"
            sent.append((profile, after))
            _ok(await self._ingest.post("/v1/track", json={"userId": profile, "event": key}), 200)
            await asyncio.sleep(SEND_EVERY_S)
        await self._until(sent[-1][0], member=True, key=key)
        await asyncio.sleep(1.0)  # other partitions may be behind that of the last one
        members = [await self._is_member(profile, key) for profile, _ in sent]
        _ok(await self._segments.delete(f"/v1/segments/{key}"), 204)
        overlooked = [number for number, member in enumerate(members) if not member]
        first = overlooked[-1] + 1 if overlooked else 0
        if first == len(sent):
            raise NotMeasured(f"{key} was not live after {IN_EFFECT_S:g} s")
        return sent[first][1]

    async def _until(self, profile: str, *, member: bool, key: str = "") -> None:
        try:
            async with asyncio.timeout(GIVE_UP_S):
                while await self._is_member(profile, key) is not member:  # noqa: ASYNC110  HTTP has no event to wait for
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise NotMeasured(f"{profile} did not {'enter' if member else 'leave'} within {GIVE_UP_S:g} s") from None

    async def _is_member(self, profile: str, key: str = "") -> bool:
        answer = await self._asked(f"/v1/profiles/{profile}/segments")
        return any(each["key"] == (key or self._key) for each in answer.json()["segments"])

    async def _asked(self, path: str) -> httpx.Response:
        """An answer; a client asks again after a 503, and so the time counts."""
        ends_s = time.monotonic() + GIVE_UP_S
        while True:
            answer = await self._segments.get(path)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > ends_s:
                return _ok(answer, 200)
            await asyncio.sleep(LOOK_EVERY_S)


def _ok(answer: httpx.Response, status: int) -> httpx.Response:
    if answer.status_code != status:
        raise NotMeasured(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")
    return answer


@dataclass(frozen=True, slots=True)
class Where:
    """A platform, and what opens it."""

    ingest: str
    segments: str
    write_key: str
    token: str

    @asynccontextmanager
    async def canary(self, key: str = "") -> AsyncIterator[Canary]:
        """A canary, for as long as the block lasts. Raises NotMeasured, httpx.HTTPError."""
        bearer = {"Authorization": f"Bearer {self.token}"}
        async with (
            httpx.AsyncClient(base_url=self.ingest, auth=(self.write_key, ""), timeout=20, trust_env=False) as ingest,
            httpx.AsyncClient(base_url=self.segments, headers=bearer, timeout=20, trust_env=False) as segments,
            Canary(ingest, segments, key) as canary,
        ):
            yield canary


async def measure(where: Where, tries: int, exits: int, lives: int) -> dict[str, list[float]]:
    """Seconds by what they are of. Raises NotMeasured."""
    async with where.canary() as canary:
        entered = [(await canary.enter())[1] for _ in track(range(tries), "Entering")]
        left = await asyncio.gather(*(canary.leave() for _ in track(range(exits), "Leaving")))
        live = [await canary.live_after() for _ in track(range(lives), "New segments")]
    return {"event to membership": entered, "due time to exit": left, "new segment live": live}


def figures_of(found: Mapping[str, list[float]]) -> list[Figure]:
    """The figures that have targets, in milliseconds. A spread over all tries is one run."""
    entered, left = Spread.of(found["event to membership"]), Spread.of(found["due time to exit"])
    return [
        figure("platform: event to membership, p50", [entered.p50]),
        figure("platform: event to membership, p99", [entered.p99]),
        figure("platform: due time to exit, p99", [left.p99]),
        figure("platform: new segment live everywhere", [round(1000 * each, 1) for each in found["new segment live"]]),
    ]


def add_where(parser: argparse.ArgumentParser) -> None:
    """The options that say where the platform is: by default that of `make up` in this environment."""
    settings = load(os.environ)
    parser.add_argument("--ingest", default=f"http://{HOST}:{settings.port('ingest_port')}")
    parser.add_argument("--segments", default=f"http://{HOST}:{settings.port('segments_port')}")
    parser.add_argument("--write-key", default=os.environ.get("AUDIENCE_WRITE_KEY", "demo-write-key"))
    parser.add_argument("--token", default=os.environ.get("AUDIENCE_API_TOKEN", "demo-api-token"))


def where(asked: argparse.Namespace) -> Where:
    """What they say."""
    return Where(asked.ingest, asked.segments, asked.write_key, asked.token)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_where(parser)
    parser.add_argument("--tries", type=int, default=200, help="events, one after the other")
    parser.add_argument("--exits", type=int, default=50, help="memberships that leave at about the same time")
    parser.add_argument("--lives", type=int, default=5, help="new segments")
    parser.add_argument("--json", type=Path, help="write the figures here")
    asked = parser.parse_args()
    began = time.monotonic()
    try:
        found = asyncio.run(measure(where(asked), asked.tries, asked.exits, asked.lives))
    except (NotMeasured, httpx.HTTPError) as error:
        raise SystemExit(f"not measured: {error}. Does `make status` show a healthy platform?") from error
    spreads = {name: Spread.of(seconds) for name, seconds in found.items()}
    table = Table("milliseconds", *(name for name in asdict(Spread(0, 0, 0, 0, 0))))
    for name, spread in spreads.items():
        table.add_row(name, *map(str, asdict(spread).values()))
    Console().print(table)
    if asked.json:
        details = {name: asdict(spread) for name, spread in spreads.items()}
        seconds = time.monotonic() - began
        write(asked.json, "latency", "make bench-latency", figures_of(found), seconds=seconds, details=details)


if __name__ == "__main__":
    main()
