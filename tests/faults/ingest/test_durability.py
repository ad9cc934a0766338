"""What ingest-api has answered with 200 is in Kafka, whatever dies: the broker, ingest-api, both; or the disk fills."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from audience.adapters.sqlite.spool import SpoolFull, open_spool
from audience.ports.event_log import LogRecord
from local.supervision import daemon
from tests.faults.ingest.load import Load
from tests.integration.local.running import LocalPlatform, platform_in, stopped_afterwards, wait_until

EVENTS_PER_S = 1_000
AWAY_S = 60
KILLS = 20
SPOOL_MIB = 1


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    with stopped_afterwards(platform_in(tmp_path_factory.mktemp("faults"))) as started:
        started.up()
        yield started


@asynccontextmanager
async def broker_away(platform: LocalPlatform) -> AsyncIterator[None]:
    """Killed, and kept from starting again for as long as the block lasts."""

    def kill() -> None:
        platform.kill("kafka")
        daemon.connect(platform.layout).stop("kafka", wait=True)

    await asyncio.to_thread(kill)
    try:
        yield
    finally:
        await asyncio.to_thread(daemon.connect(platform.layout).start, "kafka")


def ready(platform: LocalPlatform, *, state: str = "ok") -> bool:
    """Whether ingest-api says that it is ready, and that of Kafka."""
    try:
        answer = httpx.get(f"{platform.ingest_url}/readyz", timeout=5)
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and answer.json()["dependencies"]["kafka"]["status"] == state


def spooled(platform: LocalPlatform) -> float:
    """How many records wait in the spool."""
    text = httpx.get(f"{platform.ingest_url}/metrics", timeout=5).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("ingest_spool_records "))


async def settled(platform: LocalPlatform) -> None:
    """Kafka is back, and the spool is empty."""
    await asyncio.to_thread(wait_until, "ingest-api has Kafka", lambda: ready(platform))
    await asyncio.to_thread(wait_until, "the spool is empty", lambda: spooled(platform) == 0)


async def test_the_broker_is_killed_for_a_minute(platform: LocalPlatform, capsys: pytest.CaptureFixture[str]) -> None:
    async with Load(platform, EVENTS_PER_S).running() as load:
        await asyncio.sleep(5)
        async with broker_away(platform):
            await asyncio.sleep(AWAY_S)
            assert await asyncio.to_thread(ready, platform, state="degraded")
            most = await asyncio.to_thread(spooled, platform)
        await settled(platform)
        await asyncio.sleep(5)
    await settled(platform)
    account = await asyncio.to_thread(load.account)
    with capsys.disabled():
        print(f"\nbroker killed for {AWAY_S} s, {most:.0f} records in the spool then: {account}")
    assert account.acknowledged > AWAY_S * EVENTS_PER_S * 0.8
    assert (account.missing, account.doubled, account.out_of_order) == (0, 0, 0)
    assert set(account.answers) == {"200"}


async def test_ingest_api_is_killed_again_and_again(
    platform: LocalPlatform, capsys: pytest.CaptureFixture[str]
) -> None:
    async def kill(times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(1.5)
            await asyncio.to_thread(platform.kill, "ingest-api")
            await asyncio.to_thread(
                wait_until, "it is back", lambda: ready(platform) or ready(platform, state="degraded")
            )

    async with Load(platform, EVENTS_PER_S).running() as load:
        await kill(KILLS // 4)
        async with broker_away(platform):
            await kill(KILLS // 2)
        await kill(KILLS - KILLS // 4 - KILLS // 2)
        await settled(platform)
    await settled(platform)
    account = await asyncio.to_thread(load.account)
    with capsys.disabled():
        print(f"\ningest-api killed {KILLS} times, the broker away during half of them: {account}")
    assert account.acknowledged > 0
    assert (account.missing, account.doubled, account.out_of_order) == (0, 0, 0)


async def test_a_full_spool_refuses_and_nothing_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = platform_in(tmp_path)
    small.variables["AUDIENCE_INGEST_SPOOL_MIB"] = str(SPOOL_MIB)  # type: ignore[index]
    with stopped_afterwards(small) as platform:
        await asyncio.to_thread(platform.up)
        async with Load(platform, EVENTS_PER_S).running() as load:
            async with broker_away(platform):
                await asyncio.to_thread(wait_until, "the spool is full", lambda: load.answers["503"] > 100)
                assert not await asyncio.to_thread(ready, platform, state="degraded")
            await settled(platform)
            await asyncio.sleep(3)
        await settled(platform)
        account = await asyncio.to_thread(load.account)
    with capsys.disabled():
        print(f"\nspool of {SPOOL_MIB} MiB full: {account}")
    assert account.answers["200"] > 0
    assert (account.missing, account.doubled, account.out_of_order) == (0, 0, 0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    if os.getuid() != 0:
        pytest.skip("only root may mount a file system")
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], check=False)  # noqa: S603, S607
    if mount.returncode:
        pytest.skip("this machine lets nobody mount a file system")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)  # noqa: S603, S607


async def test_a_full_disk_refuses_and_nothing_is_lost(small_disk: Path) -> None:
    kept = []
    async with open_spool(small_disk, 2**30) as spool:
        for number in range(1_000):
            try:
                await spool.put([LogRecord("t", "k", b"%06d" % number * 1_000)])
            except SpoolFull:
                break
            kept.append(number)
        assert 50 < len(kept) < 400
        with pytest.raises(SpoolFull):
            await spool.put([LogRecord("t", "k", b"x" * 100_000)])
    (small_disk / "ballast").touch()
    async with open_spool(small_disk, 2**30) as spool:
        rows = await spool.head(10_000)
        assert [int((row.records[0].value or b"")[:6]) for row in rows] == kept
