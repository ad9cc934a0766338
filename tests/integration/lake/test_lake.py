"""The lake's tables: each record once, copies left out, days compacted and forgotten, on disk and on S3."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from audience.adapters.lake.bronze import DeltaArchive
from audience.adapters.lake.duck import Duck, open_duck
from audience.adapters.lake.gold import Counting
from audience.adapters.lake.histories import DuckLakeReader
from audience.adapters.lake.silver import COPIES_WITHIN_MS, Refining
from audience.adapters.lake.tables import BRONZE, GOLD_EVENTS, GOLD_PROFILES, GOLD_VALUE, SILVER, LakeLocation
from audience.adapters.lake.upkeep import Upkeep
from audience.ports.lake import LogEntry
from audience.wire.topics import EventRecord
from tests.integration.lake.lakes import BOUNDS, entries_of, fill, location_in

DAY_MS = 86_400_000
NOW_MS = 20_600 * DAY_MS + 12 * 3_600_000
BUCKET = "lake"
MINIO = shutil.which("minio") or str(Path(__file__).parents[3] / ".tools/minio/minio")


@pytest.fixture(scope="module")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Options of a MinIO of its own; the test says so where there is none."""
    if not os.access(MINIO, os.X_OK):
        pytest.skip("minio is not installed: go install github.com/minio/minio@latest")
    data = tmp_path_factory.mktemp("minio")
    (data / BUCKET).mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    secret = {"MINIO_ROOT_USER": "audience", "MINIO_ROOT_PASSWORD": "audience-local", "HOME": str(data)}
    command = [MINIO, "server", str(data), "--address", f"127.0.0.1:{port}", "--quiet"]
    with (data / "log").open("w") as log:
        process = subprocess.Popen(command, env={"PATH": os.defpath, **secret}, stdout=log, stderr=log)  # noqa: S603
    try:
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "audience",
            "AWS_SECRET_ACCESS_KEY": "audience-local",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(params=["disk", "s3"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> LakeLocation:
    if request.param == "disk":
        return location_in(tmp_path)
    return LakeLocation(f"s3://{BUCKET}/{tmp_path.name}", request.getfixturevalue("minio"))


def event(
    number: int, at_ms: int, *, received_ms: int | None = None, message_id: str = "", profile: str = ""
) -> EventRecord:
    return EventRecord(
        workspace="demo",
        source="s",
        profile_id=profile or f"p{number % 7}",
        message_id=message_id or f"m{number}",
        type="track",
        name="Order Completed" if number % 2 else "Product Viewed",
        time_ms=at_ms,
        received_ms=at_ms if received_ms is None else received_ms,
        properties={"total": number} if number % 2 else {},
    )


def count(duck: Duck, table: str, what: str = "count(*)") -> int:
    duck.refresh()
    [row] = duck.arrow(f"SELECT {what} AS n FROM {duck.source(table)}").to_pylist()
    found: int = row["n"]
    return found


def test_the_way_of_events_through_the_lake(location: LakeLocation) -> None:
    places: dict[int, int] = {}
    events = [event(number, NOW_MS - number * 3_600_000) for number in range(100, -1, -1)]
    entries = entries_of(events, places)
    assert fill(location, entries, NOW_MS) == (101, 0, 0)
    # The log is read again from an older place, and by a second archive that knows nothing of the first.
    archive = DeltaArchive(location)
    assert archive.append(entries[40:], NOW_MS) == 0
    assert archive.positions(places) == places
    more = entries_of([events[-1], event(200, NOW_MS + 1)], places)
    assert fill(location, more, NOW_MS + 5) == (1, 1, 0)
    with open_duck(location, BOUNDS) as duck:
        assert count(duck, BRONZE) == 103
        assert count(duck, SILVER) == count(duck, SILVER, "count(DISTINCT message_id)") == 102
        counting = Counting(location, duck, order_event="Order Completed", revenue="total")
        assert counting.step() == 5
        assert counting.step() == 0
        duck.refresh()
        assert count(duck, GOLD_EVENTS, "sum(events)") == 102
        assert count(duck, GOLD_PROFILES, "max(profiles)") == 7
        assert count(duck, GOLD_VALUE, "sum(value)::BIGINT") == sum(range(1, 101, 2))
    with closing(DuckLakeReader(location, BOUNDS)) as reader:
        mine = reader.events_of("demo", "p3", time.monotonic() + 60)
    assert [each.message_id for each in mine] == [each.message_id for each in events if each.profile_id == "p3"]


def test_days_are_merged_and_forgotten(location: LakeLocation) -> None:
    places: dict[int, int] = {}
    for hour in range(20):
        at_ms = NOW_MS - (20 - hour) * 6 * 3_600_000
        fill(location, entries_of([event(hour * 10 + each, at_ms) for each in range(10)], places), at_ms)
    upkeep = Upkeep(location)
    before = upkeep.sizes()
    assert upkeep.compact(NOW_MS + DAY_MS) > 0
    after = upkeep.sizes()
    assert after[SILVER].rows == before[SILVER].rows == 200
    assert after[SILVER].files == 6 < before[SILVER].files
    assert upkeep.compact(NOW_MS + DAY_MS) == 0
    # Two days and a half lie beyond a retention of two days.
    assert upkeep.retain(NOW_MS, days=2) > 0
    kept = sum(1 for hour in range(20) if (NOW_MS - (20 - hour) * 6 * 3_600_000) // DAY_MS >= NOW_MS // DAY_MS - 2)
    assert upkeep.sizes()[SILVER].rows == upkeep.sizes()[BRONZE].rows == kept * 10
    assert upkeep.vacuum(0) > 0
    # What was forgotten does not come back: places are kept, though the log that told of them is gone.
    assert DeltaArchive(location).positions(places) == places
    with open_duck(location, BOUNDS) as duck:
        assert Refining(location, duck).step(1_000) == (0, 0, 0)


def test_a_copy_counts_again_after_the_memory_of_ids(tmp_path: Path) -> None:
    location, places = location_in(tmp_path), dict[int, int]()
    first = event(1, NOW_MS)
    late = event(1, NOW_MS, received_ms=NOW_MS + COPIES_WITHIN_MS)
    later = event(1, NOW_MS, received_ms=NOW_MS + COPIES_WITHIN_MS + 1)
    other = event(1, NOW_MS, profile="another")
    for record, wanted in ((first, (1, 0, 0)), (late, (0, 1, 0)), (other, (1, 0, 0)), (later, (1, 0, 0))):
        assert fill(location, entries_of([record], places), 1) == wanted


def test_what_is_no_event_is_kept_in_bronze_alone(tmp_path: Path) -> None:
    location = location_in(tmp_path)
    entries = [LogEntry(0, 0, NOW_MS, b"k", b"no JSON"), LogEntry(0, 1, NOW_MS, b"k", None)]
    assert fill(location, entries, 1) == (0, 0, 2)
    with open_duck(location, BOUNDS) as duck:
        assert count(duck, BRONZE) == 2
        assert Refining(location, duck).step(1_000) == (0, 0, 0)


def test_refining_goes_on_where_it_stopped_in_small_steps(tmp_path: Path) -> None:
    location, places = location_in(tmp_path), dict[int, int]()
    archive = DeltaArchive(location)
    for part in range(12):
        archive.append(entries_of([event(part * 5 + each, NOW_MS + part) for each in range(5)], places), part)
    with open_duck(location, BOUNDS) as duck:
        refining, steps = Refining(location, duck), []
        while any(done := refining.step(7)):
            steps.append(done.events)
        assert sum(steps) == 60
        assert len(steps) > 5
        assert count(duck, SILVER, "count(DISTINCT message_id)") == 60
