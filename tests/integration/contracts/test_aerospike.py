"""Aerospike keeps the contract. Runs where AEROSPIKE_HOSTS (host:port,host:port) names a server."""

import os
from collections.abc import AsyncIterator

import pytest

from audience.adapters.aerospike.profile_store import AerospikeProfileStore, open_aerospike_profile_store
from audience.ports.stores import StoreUnavailable
from tests.integration.contracts.profile_store import ProfileStoreContract

HOSTS = os.environ.get("AEROSPIKE_HOSTS", "")


@pytest.mark.skipif(not HOSTS, reason="AEROSPIKE_HOSTS is not set: no Aerospike server to run against")
class TestAerospikeProfileStore(ProfileStoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[AerospikeProfileStore]:
        hosts = [(name, int(port)) for name, _, port in (host.rpartition(":") for host in HOSTS.split(","))]
        async with open_aerospike_profile_store(hosts, retention_s=3_600, timeout_ms=3_000) as store:
            await _serving(store)
            yield store


async def _serving(store: AerospikeProfileStore) -> None:
    import asyncio

    for _ in range(100):
        try:
            await store.check()
        except StoreUnavailable:
            await asyncio.sleep(0.1)
        else:
            client = store._client._client
            client.truncate("user_profiles", "profiles", 0)
            await asyncio.sleep(0.2)
            return
    raise AssertionError("the server did not serve within 10 s")
