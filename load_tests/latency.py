"""From an event to a readable membership, and from a window's end to the exit, on a running platform.

    python -m load_tests.latency --tries 200 --exits 50

Saves a segment ``an event within 10 s``, sends events of new profiles one after the other, and asks the segment API
until the membership is there; then waits until each membership has left by itself. Times count from before the event is
sent, and from the due time that the explanation of the membership gives. Needs a platform: `make up`.
"""

import argparse
import asyncio
import json
import secrets
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

LOOK_EVERY_S: Final = 0.002
WATCH_FROM_S: Final = 0.2
"""How long before its due time an exit is watched for; before that, looking would only be load."""
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

    def __init__(self, ingest: httpx.AsyncClient, segments: httpx.AsyncClient) -> None:
        self._ingest = ingest
        self._segments = segments
        self._key = f"canary-{secrets.token_hex(4)}"

    async def __aenter__(self) -> "Canary":
        rule = {"event": self._key, "within": "10s"}
        _ok(await self._segments.post("/v1/segments", json={"key": self._key, "rule": rule, "status": "live"}), 201)
        await asyncio.sleep(IN_EFFECT_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        _ok(await self._segments.delete(f"/v1/segments/{self._key}"), 204)

    async def enter(self) -> tuple[str, float]:
        """A new profile's id, and the seconds until it was seen to be a member."""
        profile = f"{self._key}-{secrets.token_hex(6)}"
        began = time.monotonic()
        _ok(await self._ingest.post("/v1/track", json={"userId": profile, "event": self._key}), 200)
        await self._until(profile, member=True)
        return profile, time.monotonic() - began

    async def leave(self) -> float:
        """The seconds from a membership's due time until it was seen to be over. Negative: it left too early."""
        profile, _ = await self.enter()
        told = _ok(await self._segments.get(f"/v1/profiles/{profile}/explain/{self._key}"), 200).json()
        due_s = datetime.fromisoformat(told["tree"]["next_change_at"]).timestamp()
        await asyncio.sleep(max(0.0, due_s - time.time() - WATCH_FROM_S))
        await self._until(profile, member=False)
        return time.time() - due_s

    async def _until(self, profile: str, *, member: bool) -> None:
        try:
            async with asyncio.timeout(GIVE_UP_S):
                while await self._is_member(profile) is not member:  # noqa: ASYNC110  HTTP has no event to wait for
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise NotMeasured(f"{profile} did not {'enter' if member else 'leave'} within {GIVE_UP_S:g} s") from None

    async def _is_member(self, profile: str) -> bool:
        answer = await self._segments.get(f"/v1/profiles/{profile}/segments")
        while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:  # a client asks again, and so the time counts
            await asyncio.sleep(LOOK_EVERY_S)
            answer = await self._segments.get(f"/v1/profiles/{profile}/segments")
        return any(each["key"] == self._key for each in _ok(answer, 200).json()["segments"])


def _ok(answer: httpx.Response, status: int) -> httpx.Response:
    if answer.status_code != status:
        raise NotMeasured(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")
    return answer


async def measure(ingest: str, segments: str, write_key: str, token: str, tries: int, exits: int) -> dict[str, Spread]:
    """Both spreads. Raises NotMeasured."""
    bearer = {"Authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(base_url=ingest, auth=(write_key, ""), timeout=20, trust_env=False) as to_ingest,
        httpx.AsyncClient(base_url=segments, headers=bearer, timeout=20, trust_env=False) as to_segments,
        Canary(to_ingest, to_segments) as canary,
    ):
        entered = [(await canary.enter())[1] for _ in track(range(tries), "Entering")]
        left = await asyncio.gather(*(canary.leave() for _ in track(range(exits), "Leaving")))
    return {"event to membership": Spread.of(entered), "due time to exit": Spread.of(left)}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingest", default="http://127.0.0.1:8081")
    parser.add_argument("--segments", default="http://127.0.0.1:8082")
    parser.add_argument("--write-key", default="demo-write-key")
    parser.add_argument("--token", default="demo-api-token")
    parser.add_argument("--tries", type=int, default=200, help="events, one after the other")
    parser.add_argument("--exits", type=int, default=50, help="memberships that leave at about the same time")
    parser.add_argument("--json", type=Path, help="write the figures here")
    asked = parser.parse_args()
    try:
        spreads = asyncio.run(
            measure(asked.ingest, asked.segments, asked.write_key, asked.token, asked.tries, asked.exits)
        )
    except (NotMeasured, httpx.HTTPError) as error:
        raise SystemExit(f"not measured: {error}. Does `make status` show a healthy platform?") from error
    table = Table("milliseconds", *(name for name in asdict(Spread(0, 0, 0, 0, 0))))
    for name, spread in spreads.items():
        table.add_row(name, *map(str, asdict(spread).values()))
    Console().print(table)
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps({name: asdict(spread) for name, spread in spreads.items()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
