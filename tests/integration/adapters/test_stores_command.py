"""`audience-ops stores verify|repair`: every kind of damage is found, and mended."""

import asyncio
import json
import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from audience.adapters.kafka.producer import open_event_log
from audience.adapters.postgres.membership_index import PostgresMembershipIndex
from audience.adapters.postgres.pool import Pool, open_pool
from audience.adapters.postgres.profile_store import PostgresProfileStore
from audience.ports.event_log import LogRecord
from audience.profiles.model import Membership
from audience.wire.topics import PROFILES, ProfileRecord, encode, key_of
from services.operations.__main__ import app
from tests.integration.adapters.test_membership_index import assert_sound
from tests.integration.contracts.database import fresh_database
from tests.integration.contracts.profile_store import profile

pytestmark = pytest.mark.platform

DAMAGE = {
    "a row is gone": "DELETE FROM profile_records WHERE profile_id = 'p1'",
    "a row is old": "UPDATE profile_records SET version = 1 WHERE profile_id = 'p2'",
    "a document is another": "UPDATE profile_records SET memberships = '[]' WHERE profile_id = 'p3'",
    "the index has never seen one": "DELETE FROM membership_versions WHERE profile_id = 'p4'",
    "the index has an old one": """
        UPDATE membership_versions SET version = 1, memberships = '[]' WHERE profile_id = 'p5'""",
    "a member is gone": "DELETE FROM memberships WHERE profile_id = 'p6' AND segment_key = 'vip'",
    "a member is too many": """
        INSERT INTO memberships SELECT workspace, 'vip', 'ghost', 1, 0 FROM profile_records LIMIT 1""",
    "a size is wrong": "UPDATE segment_sizes SET size = size + 7 WHERE segment_key = 'new'",
}


class Stores:
    """The command, a database of its own, and a workspace of its own in the topic."""

    def __init__(self, dsn: str, workspace: str) -> None:
        self.dsn = dsn
        self.workspace = workspace

    def run(self, what: str) -> tuple[int, dict[str, Any]]:
        done = CliRunner().invoke(app, ["stores", what, "--json", "--settle", "0", "--workspace", self.workspace])
        return done.exit_code, json.loads(done.stdout)

    def execute(self, statement: str) -> None:
        asyncio.run(self._execute(statement))

    async def _execute(self, statement: str) -> None:
        async with open_pool(self.dsn) as pool:
            await pool.execute(statement)

    def sound(self) -> None:
        async def look() -> None:
            async with open_pool(self.dsn) as pool:
                await assert_sound(pool)

        asyncio.run(look())


def record(workspace: str, number: int, version: int) -> LogRecord:
    segments = [Membership(key, 1_700_000_000_000 + version) for key in ("vip", "new")[: 1 + number % 2]]
    made = ProfileRecord(
        workspace=workspace, profile_id=f"p{number}", version=version, created_ms=1, updated_ms=version,
        traits={"n": number, "nul": "\u0000"}, segments=segments,
    )  # fmt: skip
    return LogRecord(PROFILES, key_of(workspace, made.profile_id), encode(made))


@pytest.fixture(scope="module")
def stores(platform: Any) -> Iterator[Stores]:
    workspace = f"w{secrets.token_hex(6)}"

    async def append() -> None:
        async with open_event_log(platform.kafka_bootstrap, "test", linger_ms=0) as log:
            await log.append([record(workspace, number, version) for version in (2, 3) for number in range(20)])

    asyncio.run(append())
    with fresh_database(platform.postgres_dsn) as dsn, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUDIENCE_POSTGRES_DSN", dsn)
        patch.setenv("AUDIENCE_KAFKA_BOOTSTRAP_SERVERS", platform.kafka_bootstrap)
        yield Stores(dsn, workspace)


def test_lost_stores_are_found_and_rebuilt(stores: Stores) -> None:
    status, found = stores.run("verify")
    assert (status, found["profiles"]) == (3, 20)
    assert {name: each["missing"] for name, each in found["stores"].items()} == {
        "profile-store": 20,
        "membership-index": 20,
    }
    status, found = stores.run("repair")
    assert (status, found["sound"]) == (0, True)
    assert stores.run("verify")[0] == 0
    stores.sound()


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_and_mended(stores: Stores, damage: str) -> None:
    stores.run("repair")
    stores.execute(DAMAGE[damage])
    status, found = stores.run("verify")
    assert status == 3, found
    assert stores.run("repair")[0] == 0
    assert stores.run("verify")[0] == 0
    stores.sound()


def test_a_newer_version_than_the_topics_is_left_alone(stores: Stores) -> None:
    stores.run("repair")
    stores.execute("UPDATE profile_records SET version = 9, memberships = '[]' WHERE profile_id = 'p7'")
    assert stores.run("repair")[0] == 0

    async def version() -> int:
        async with open_pool(stores.dsn) as pool:
            return (await PostgresProfileStore(pool).get_many(stores.workspace, ["p7"]))["p7"].version

    assert asyncio.run(version()) == 9


def test_who_was_forgotten_is_missing_from_no_store(stores: Stores) -> None:
    stores.run("repair")
    forgotten = ProfileRecord(
        workspace=stores.workspace, profile_id="p8", version=9, created_ms=0, updated_ms=9, traits={}, segments=[]
    )

    async def append() -> None:
        async with open_event_log(os.environ["AUDIENCE_KAFKA_BOOTSTRAP_SERVERS"], "test", linger_ms=0) as log:
            await log.append([LogRecord(PROFILES, key_of(stores.workspace, "p8"), encode(forgotten))])

    async def found() -> Any:
        async with open_pool(stores.dsn) as pool:
            return await PostgresProfileStore(pool).get_many(stores.workspace, ["p8"])

    asyncio.run(append())
    status, report = stores.run("verify")
    assert (status, report["stores"]["profile-store"]["older"]) == (3, 1), "the stores know it as it was before"
    assert stores.run("repair")[0] == 0
    assert asyncio.run(found()) == {}
    assert stores.run("verify")[0] == 0
    stores.sound()


async def test_mending_tells_of_no_changes(pool: Pool) -> None:
    index = PostgresMembershipIndex(pool)
    made = profile("a", 3, "vip", "new")
    await index.put_many([made])
    before = await pool.fetchval("SELECT count(*) FROM membership_changes")
    await pool.execute("DELETE FROM memberships")
    assert await index.rewrite([made]) == 1
    assert await index.rewrite([made]) == 0
    assert await pool.fetchval("SELECT count(*) FROM membership_changes") == before
    for segment in ("vip", "new"):  # whose rows went behind the back of the sizes
        await index.recount("w", segment)
    await assert_sound(pool)
