"""A service for each test."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.unit.ingest.fakes import Service, running


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    """ingest-api with two sources, over memory."""
    async with running() as started:
        yield started
