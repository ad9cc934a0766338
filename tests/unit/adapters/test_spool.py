"""The queue on disk: what was put is there, whatever happens to the process, and never more than it may hold."""

import asyncio
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from audience.adapters.sqlite.spool import Spool, SpoolFull, SpoolUnusable, open_spool
from audience.ports.event_log import LogRecord

MIB = 1024 * 1024


def record(number: int, size: int = 3) -> LogRecord:
    return LogRecord("events", f"demo:u{number}", b"%d" % number + b"x" * size)


async def everything(spool: Spool) -> list[LogRecord]:
    return [each for row in await spool.head(1_000_000) for each in row.records]


async def test_rows_come_back_in_their_order(tmp_path: Path) -> None:
    records = [record(1), LogRecord("events.bad", "ü 😀", None), LogRecord("t", "", b"")]
    async with open_spool(tmp_path, MIB) as spool:
        assert [await spool.put(records), await spool.put([record(2)])] == [1, 2]
        assert [(row.id, row.records) for row in await spool.head(100)] == [(1, records), (2, [record(2)])]
        assert (spool.records, spool.has_room) == (4, True)
        assert 0 <= spool.oldest_s < 5


async def test_a_head_holds_whole_rows_and_one_at_least(tmp_path: Path) -> None:
    async with open_spool(tmp_path, MIB) as spool:
        for _ in range(4):
            await spool.put([record(1)] * 10)
        assert [len(await spool.head(at_most)) for at_most in (1, 10, 25, 40, 100)] == [1, 1, 2, 4, 4]


async def test_what_is_removed_is_gone_and_the_rest_is_not(tmp_path: Path) -> None:
    async with open_spool(tmp_path, MIB) as spool:
        for number in range(10):
            await spool.put([record(number)])
        await spool.remove(4)
        assert await everything(spool) == [record(number) for number in range(4, 10)]
        assert spool.records == 6
        await spool.remove(10)
        assert (spool.records, spool.bytes, spool.oldest_s, await spool.head(10)) == (0, 0, 0, [])
        assert await spool.put([record(1)]) == 11  # numbers are not used again


async def test_puts_at_once_share_a_commit_and_keep_their_order(tmp_path: Path) -> None:
    async with open_spool(tmp_path, 10 * MIB) as spool:
        ids = await asyncio.gather(*(spool.put([record(number)]) for number in range(2_000)))
        assert ids == sorted(ids)
        assert await everything(spool) == [record(number) for number in range(2_000)]


async def test_it_is_there_after_a_restart(tmp_path: Path) -> None:
    async with open_spool(tmp_path, MIB) as spool:
        await spool.put([record(1), record(2)])
        size = spool.bytes
    async with open_spool(tmp_path, MIB) as spool:
        assert (spool.records, spool.bytes) == (2, size)
        assert await everything(spool) == [record(1), record(2)]
        await spool.remove(1)
    async with open_spool(tmp_path, MIB) as spool:
        assert (spool.records, await everything(spool)) == (0, [])


async def test_nothing_goes_over_the_limit(tmp_path: Path) -> None:
    async with open_spool(tmp_path, 10_000) as spool:
        outcomes = await asyncio.gather(*(spool.put([record(1, 900)]) for _ in range(20)), return_exceptions=True)
        kept = [each for each in outcomes if isinstance(each, int)]
        assert len(kept) == 10
        assert {type(each) for each in outcomes} == {int, SpoolFull}
        assert not spool.has_room
        await spool.remove(kept[-1])
        assert spool.has_room
        await spool.put([record(1, 900)])
        assert len(await everything(spool)) == 1


async def test_a_disk_that_is_full_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    async with open_spool(tmp_path, 100 * MIB) as spool:
        await spool.put([record(1)])
        # As a full disk does, SQLite answers SQLITE_FULL; tests/faults fills a real one.
        await asyncio.get_running_loop().run_in_executor(spool._thread, spool._db.execute, "PRAGMA max_page_count = 30")
        before = spool.bytes
        with pytest.raises(SpoolFull, match="full"):
            await spool.put([record(2, MIB)])
        assert (spool.records, spool.bytes) == (1, before)
        await spool.put([record(3)])
        assert await everything(spool) == [record(1), record(3)]


async def test_the_disk_gets_back_what_an_outage_took(tmp_path: Path) -> None:
    async with open_spool(tmp_path, 100 * MIB) as spool:
        last = [await spool.put([record(number, 10_000)] * 10) for number in range(100)][-1]
        await spool.remove(last)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 100_000  # noqa: ASYNC240  a few files


async def test_each_process_has_a_file_of_its_own(tmp_path: Path) -> None:
    async with open_spool(tmp_path, MIB) as first, open_spool(tmp_path, MIB) as second:
        await first.put([record(1)])
        await second.put([record(2)])
    async with open_spool(tmp_path, MIB) as first:
        assert await everything(first) == [record(1)]


async def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolUnusable, match="file"):
        async with open_spool(tmp_path / "file", MIB):
            pass
    (tmp_path / "spool-0.sqlite").write_bytes(b"nonsense" * 1_000)
    with pytest.raises(SpoolUnusable, match="not a database"):
        async with open_spool(tmp_path, MIB):
            pass


PUTTER = """
    import asyncio, sys
    from pathlib import Path
    from audience.adapters.sqlite.spool import open_spool
    from audience.ports.event_log import LogRecord

    async def main():
        async with open_spool(Path(sys.argv[1]), 2**30) as spool:
            number = 0
            while True:
                puts = [spool.put([LogRecord("t", "k", b"%d" % each)]) for each in range(number, number + 20)]
                await asyncio.gather(*puts)
                number += 20
                print(number, flush=True)

    asyncio.run(main())
"""


async def test_a_killed_process_loses_nothing_that_was_put(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(PUTTER), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as putter:  # noqa: ASYNC220, S603
        assert putter.stdout is not None
        told = [int(putter.stdout.readline()) for _ in range(20)]
        putter.send_signal(signal.SIGKILL)
        told += [int(line) for line in putter.stdout.read().split()]
    async with open_spool(tmp_path, MIB * 1024) as spool:
        numbers = [int(each.value or b"") for each in await everything(spool)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= told[-1] >= 400
