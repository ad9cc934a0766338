"""The service over parts in memory, for each test."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.unit.segments.service import Outside, running


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
async def api(outside: Outside) -> AsyncIterator[httpx.AsyncClient]:
    async with running(outside) as client:
        yield client
