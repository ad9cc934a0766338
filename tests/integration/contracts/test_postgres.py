"""PostgreSQL keeps the contract."""

import pytest

from audience.adapters.postgres.pool import Pool
from audience.adapters.postgres.profile_store import PostgresProfileStore
from audience.ports.stores import RecordRefused
from tests.integration.contracts.profile_store import ProfileStoreContract, profile

pytestmark = pytest.mark.platform


class TestPostgresProfileStore(ProfileStoreContract):
    @pytest.fixture
    def store(self, pool: Pool) -> PostgresProfileStore:
        return PostgresProfileStore(pool)

    async def test_an_id_that_no_index_holds_is_refused(self, store: PostgresProfileStore) -> None:
        incompressible = "".join(chr(0x4E00 + number * 7 % 20_000) for number in range(4_000))
        with pytest.raises(RecordRefused):
            await store.put_many([profile(incompressible, 1)])

    async def test_a_version_beyond_64_bits_is_refused(self, store: PostgresProfileStore) -> None:
        with pytest.raises(RecordRefused):
            await store.put_many([profile("a", 2**63)])
