"""The Aerospike adapter, against a client that records what it is asked and answers like a server.

What a real server does is told by the contract (tests/integration/contracts), where AEROSPIKE_HOSTS is set.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aerospike
import pytest
from aerospike import exception

from audience.adapters.aerospike import client as client_module
from audience.adapters.aerospike import profile_store as store_module
from audience.adapters.aerospike.client import MAX_CONNS_PER_NODE, THREADS, config_of, open_client
from audience.adapters.aerospike.profile_store import AerospikeProfileStore, open_aerospike_profile_store
from audience.ports.stores import RecordRefused, StoreUnavailable
from audience.profiles.model import Profile
from tests.integration.contracts.profile_store import ProfileStoreContract, profile


class Filter:
    """What a compiled filter says; the real one is the server's to read."""

    def __init__(self, version: int) -> None:
        self.version = version

    def passes(self, bins: dict[str, Any] | None) -> bool:
        return bins is None or "version" not in bins or bins["version"] < self.version


class Server:
    """A client, and the server behind it."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str, Any], dict[str, Any]] = {}
        self.policies: list[dict[str, Any]] = []
        self.results: dict[Any, int] = {}
        self.raises: Exception | None = None
        self.at_once = self.most_at_once = self.largest = 0
        self.lock = threading.Lock()
        self.closed = False

    def batch_write(self, batch: Any) -> Any:
        self._enter(batch.batch_records)
        for write in batch.batch_records:
            place = self._place(write.key)
            self.policies.append(write.policy)
            if place[2] in self.results:
                write.result = self.results[place[2]]
            elif not write.policy["expressions"].passes(self.records.get(place)):
                write.result = 27
            else:
                self.records[place] = {each["bin"]: each["val"] for each in write.ops}
        batch.result = -16 if any(each.result not in (0, 27) for each in batch.batch_records) else 0
        return batch

    def batch_read(self, keys: Sequence[Any], bins: list[str]) -> Any:
        from aerospike_helpers.batch.records import BatchRecord, BatchRecords

        self._enter(keys)
        answers = []
        for key in keys:
            answer = BatchRecord(key)
            found = self.records.get(self._place(key))
            answer.result = self.results.get(self._place(key)[2], 0 if found is not None else 2)
            if found is not None:
                answer.record = (key, {}, {name: found[name] for name in bins})
            answers.append(answer)
        return BatchRecords(answers)

    def close(self) -> None:
        self.closed = True

    def _place(self, key: Any) -> tuple[str, str, Any]:
        return key[0], key[1], (type(key[2]).__name__, bytes(key[2]) if isinstance(key[2], bytearray) else key[2])

    def _enter(self, batch: Sequence[Any]) -> None:
        if self.raises:
            raise self.raises
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.largest = max(self.largest, len(batch))
        with self.lock:
            self.at_once -= 1


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(aerospike, "client", lambda _: made)
    monkeypatch.setattr(store_module, "_only_if_older_than", Filter)
    return made


@pytest.fixture
async def store(server: Server) -> AsyncIterator[AerospikeProfileStore]:
    async with open_aerospike_profile_store([("127.0.0.1", 3000)], retention_s=86_400) as opened:
        await _serving(opened)
        yield opened


class TestContract(ProfileStoreContract):
    @pytest.fixture
    def store(self, store: AerospikeProfileStore) -> AerospikeProfileStore:
        return store


async def test_keys_policies_and_bins(store: AerospikeProfileStore, server: Server) -> None:
    await store.put_many([profile("a", 5, "vip")])
    [(namespace, set_name, (kind, key))] = server.records
    assert (namespace, set_name, kind, key) == ("user_profiles", "profiles", "str", "w:a")
    [policy] = server.policies
    assert policy["ttl"] == 86_400
    assert policy["key"] == aerospike.POLICY_KEY_SEND
    assert policy["expressions"].version == 5
    [bins] = server.records.values()
    assert all(len(name) <= 15 for name in bins)
    assert isinstance(bins["version"], int)
    assert {type(bins["memberships"]), type(bins["attributes"])} == {bytes}


def test_the_filter_compiles_against_the_real_client() -> None:
    assert isinstance(store_module._only_if_older_than(2**62), list)


async def test_batches_stay_below_the_servers_limit(store: AerospikeProfileStore, server: Server) -> None:
    await store.put_many([profile(f"user-{number}", 1) for number in range(1_700)])
    assert server.largest <= store_module.LARGEST_BATCH
    assert len(server.records) == 1_700


@pytest.mark.parametrize("result", [9, 8, 11, 14, 18, -10])
async def test_a_record_that_failed_fails_the_batch(store: AerospikeProfileStore, server: Server, result: int) -> None:
    server.results[("str", "w:b")] = result
    with pytest.raises(StoreUnavailable):
        await store.put_many([profile("a", 1), profile("b", 1)])
    with pytest.raises(StoreUnavailable):
        await store.get_many("w", ["a", "b"])


async def test_a_record_that_is_too_large_is_refused(store: AerospikeProfileStore, server: Server) -> None:
    server.results[("str", "w:b")] = 13
    with pytest.raises(RecordRefused):
        await store.put_many([profile("a", 1), profile("b", 1)])
    server.results[("str", "w:a")] = 9  # what may pass comes first
    with pytest.raises(StoreUnavailable):
        await store.put_many([profile("a", 2), profile("b", 1)])


async def test_errors_of_the_client(store: AerospikeProfileStore, server: Server) -> None:
    server.raises = exception.ParamError(-2, "integer too large")
    with pytest.raises(RecordRefused):
        await store.put_many([profile("a", 1)])
    for error in (
        exception.TimeoutError(9, "timeout"),
        exception.ServerError(8, "full"),
        exception.ClientError(-1, ""),
    ):
        server.raises = error
        with pytest.raises(StoreUnavailable):
            await store.put_many([profile("a", 1)])
        with pytest.raises(StoreUnavailable):
            await store.check()


async def test_calls_at_once_stay_below_the_connections(store: AerospikeProfileStore, server: Server) -> None:
    await asyncio.gather(*(store.get_many("w", [f"user-{number}"]) for number in range(300)))
    assert server.most_at_once <= THREADS < MAX_CONNS_PER_NODE


async def test_the_client_is_made_when_the_server_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    server, attempts = Server(), 0

    def make(_: dict[str, Any]) -> Server:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise exception.ClientError(-10, "Failed to connect")
        return server

    monkeypatch.setattr(aerospike, "client", make)
    async with open_aerospike_profile_store([("127.0.0.1", 3000)], retention_s=1) as store:
        with pytest.raises(StoreUnavailable, match="not connected yet"):
            await store.put_many([Profile("w", "a", 1, 1, 1)])
        await _serving(store)
    assert server.closed


async def _serving(store: AerospikeProfileStore) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                return await store.check()
            except StoreUnavailable:
                await asyncio.sleep(0.02)


async def test_closing_while_it_still_connects() -> None:
    async with open_client([("127.0.0.1", 1)], 100):
        await asyncio.sleep(0.05)


def test_the_client_knows_every_setting() -> None:
    """`validate_keys` makes the real client refuse a name that it does not know, before it connects."""
    with pytest.raises(exception.ClientError) as refused:
        aerospike.client(config_of([("127.0.0.1", 1)], 1_000, ("audience", "secret")))
    assert not isinstance(refused.value, exception.ParamError)
    wrong = {**config_of([("127.0.0.1", 1)], 1_000), "policies": {"batch": {"total_timeoot": 1}}}
    with pytest.raises(exception.ParamError):
        aerospike.client(wrong)
    assert client_module.config_of([], 1)["validate_keys"] is True
