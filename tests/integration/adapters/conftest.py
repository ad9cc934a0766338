"""A migrated database for this folder's tests, emptied for each."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from audience.adapters.postgres.pool import Pool, open_pool
from tests.integration.contracts.database import fresh_database

TABLES = (
    "profile_records, memberships, membership_versions, membership_changes, segment_sizes, segment_size_history, "
    "segments, evaluation_progress, external_ids, lists, list_members, list_untold, computed_traits, "
    "idempotency_keys, tokens, sources, workspaces"
)


@pytest.fixture(scope="session")
def database(platform: Any) -> Iterator[str]:
    with fresh_database(platform.postgres_dsn) as dsn:
        yield dsn


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with open_pool(database, max_size=8, by_key=True) as opened:
        await opened.execute(f"TRUNCATE {TABLES} CASCADE")
        yield opened
