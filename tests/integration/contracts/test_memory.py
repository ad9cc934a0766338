"""The fake that unit tests use keeps the contract."""

import pytest

from tests.integration.contracts.memory import MemoryProfileStore
from tests.integration.contracts.profile_store import ProfileStoreContract


class TestMemoryProfileStore(ProfileStoreContract):
    @pytest.fixture
    def store(self) -> MemoryProfileStore:
        return MemoryProfileStore()
