"""Profiles by id in Aerospike.

A record holds a profile's version and its two documents (`audience.adapters.documents`): JSON in bytes, since
Aerospike's own types know no integers from 2^63 on and do not keep the order of maps. A write carries a filter, "only
where the stored version is smaller", so that it may be repeated, reordered and run beside another writer. Deletes are
not durable in the Community Edition, so nothing here deletes: a profile leaves by its TTL, which each write sets.
Refuses records beyond the server's limit of 1 MiB.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import aerospike
from aerospike_helpers import expressions
from aerospike_helpers.batch.records import BatchRecords, Write
from aerospike_helpers.operations import operations

from audience.adapters import documents
from audience.adapters.aerospike.client import RECORD_TOO_BIG, Client, Login, open_client
from audience.ports.stores import RecordRefused, StoreUnavailable
from audience.profiles.model import Membership, Profile

T = TypeVar("T")
NAMESPACE: Final = "user_profiles"
SET: Final = "profiles"
VERSION: Final = "version"
MEMBERSHIPS: Final = "memberships"
ATTRIBUTES: Final = "attributes"

LARGEST_BATCH: Final = 500
"""How many records one call reads or writes; a server takes 5,000 (`batch-max-requests`)."""

OK: Final = 0
NOT_FOUND: Final = 2
FILTERED_OUT: Final = 27


class AerospikeProfileStore:
    """Implements `audience.ports.stores.ProfileStore`. Use `open_aerospike_profile_store`."""

    def __init__(self, client: Client, retention_s: int) -> None:
        self._client = client
        self._retention_s = retention_s

    async def get_many(self, workspace: str, profile_ids: Sequence[str]) -> Mapping[str, Profile]:
        """The profiles that are known, by id."""
        found = await self._read(workspace, profile_ids, [VERSION, MEMBERSHIPS, ATTRIBUTES])
        return documents.by_id(
            documents.decode_profile(
                workspace, profile_id, bins[VERSION], bytes(bins[MEMBERSHIPS]), bytes(bins[ATTRIBUTES])
            )
            for profile_id, bins in found.items()
        )

    async def memberships(self, workspace: str, profile_ids: Sequence[str]) -> Mapping[str, tuple[Membership, ...]]:
        """The memberships of those that are known, by id."""
        found = await self._read(workspace, profile_ids, [MEMBERSHIPS])
        return {
            profile_id: documents.decode_memberships(bytes(bins[MEMBERSHIPS])) for profile_id, bins in found.items()
        }

    async def put_many(self, profiles: Sequence[Profile]) -> int:
        """Keep each profile that is newer than the stored one; gives how many were written."""
        return await self._put(profiles, _only_if_older_than)

    async def rewrite(self, profiles: Sequence[Profile]) -> int:
        """Keep each profile that is not older than the stored one; gives how many were written."""
        return await self._put(profiles, lambda version: _only_if_older_than(version + 1))

    async def _put(self, profiles: Sequence[Profile], only_if: Callable[[int], Any]) -> int:
        newest = [profile for _, group in documents.newest(profiles) for profile in group]
        written = 0
        for batch in _parts(newest):
            writes = BatchRecords([self._write(profile, only_if(profile.version)) for profile in batch])
            written += _written(await self._client.call(_batch_write(writes)))
        return written

    async def check(self) -> None:
        """Return when the server answers a read."""
        await self._read("", ["check"], [VERSION])

    def _write(self, profile: Profile, only_if: Any) -> Write:
        return Write(
            _key(profile.workspace, profile.profile_id),
            [
                operations.write(VERSION, profile.version),
                operations.write(MEMBERSHIPS, documents.encode_memberships(profile.segments)),
                operations.write(ATTRIBUTES, documents.encode_attributes(profile)),
            ],
            policy={
                "expressions": only_if,
                "ttl": self._retention_s,  # a write without one would reset it to the namespace's default
                "key": aerospike.POLICY_KEY_SEND,  # so that a scan can say which profile a record is of
            },
        )

    async def _read(self, workspace: str, profile_ids: Sequence[str], bins: list[str]) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        for part in _parts(list(dict.fromkeys(profile_ids))):
            keys = [_key(workspace, profile_id) for profile_id in part]
            answer = await self._client.call(_batch_read(keys, bins))
            for profile_id, record in zip(part, answer.batch_records, strict=True):
                if record.result == OK:
                    found[profile_id] = record.record[2]
                elif record.result != NOT_FOUND:
                    raise StoreUnavailable(f"Aerospike: a read of a batch failed ({record.result})")
        return found


def _batch_write(writes: BatchRecords) -> Callable[[Any], BatchRecords]:
    return lambda client: client.batch_write(writes)


def _batch_read(keys: list[tuple[str, str, str | bytearray]], bins: list[str]) -> Callable[[Any], BatchRecords]:
    return lambda client: client.batch_read(keys, bins)


def _written(answer: BatchRecords) -> int:
    """How many records were written. A batch does not raise: each record's result has to be looked at.

    A timeout may have written the record (`in_doubt`); writing it again does no harm.
    """
    results = [record.result for record in answer.batch_records]
    failed = [result for result in results if result not in (OK, FILTERED_OUT)]
    if away := [result for result in failed if result != RECORD_TOO_BIG]:
        raise StoreUnavailable(f"Aerospike: {len(away)} of {len(results)} writes of a batch failed ({away[0]})")
    if failed:
        raise RecordRefused(f"Aerospike: {len(failed)} of {len(results)} records are too large")
    return results.count(OK)


def _only_if_older_than(version: int) -> Any:
    """A filter that a record passes which is not there, has no version, or has a smaller one.

    A bin that is missing filters a record out, so the comparison is wrapped.
    """
    return expressions.Or(
        expressions.Not(expressions.BinExists(VERSION)), expressions.LT(expressions.IntBin(VERSION), version)
    ).compile()


def _key(workspace: str, profile_id: str) -> tuple[str, str, str | bytearray]:
    """``workspace:profile_id``. As bytes where the id holds U+0000, at which the client would cut a string."""
    key = f"{workspace}:{profile_id}"
    return NAMESPACE, SET, bytearray(key.encode()) if "\0" in key else key


def _parts(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[at : at + LARGEST_BATCH] for at in range(0, len(items), LARGEST_BATCH)]


@asynccontextmanager
async def open_aerospike_profile_store(
    hosts: Sequence[tuple[str, int]], *, retention_s: int, timeout_ms: int = 1_000, login: Login | None = None
) -> AsyncIterator[AerospikeProfileStore]:
    """The store for as long as the block lasts. Connects in the background."""
    async with open_client(hosts, timeout_ms, login) as client:
        yield AerospikeProfileStore(client, retention_s)
