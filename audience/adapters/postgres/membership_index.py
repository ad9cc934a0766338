"""Memberships by segment, each segment's size and the changes that led there, kept in one transaction with the version
of the profile they are of.

`membership_versions` holds what the index has of each profile, so that a new version touches only the memberships that
changed; most change none. A size is the number of rows of `memberships`, kept as a counter because counting a million
rows takes a tenth of a second: it moves by the rows that the same statement inserted and deleted, never by what a
caller believes, so it cannot drift. Locks are taken in one order (profiles, memberships, sizes; each sorted), and
sizes last, since their rows are the ones that all writers share. A change gets its number while the row of its
segment's size is locked, so that a reader of a segment's changes never sees a number before a smaller one.

A batch may hold several versions of a profile. Each of them is a step, and its changes are kept, also those that a
later version of the same batch takes back; the memberships are those of the last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from audience.adapters import documents
from audience.adapters.postgres.pool import Connection, Pool, row_count
from audience.ports.stores import StoreUnavailable
from audience.profiles.model import Membership, Profile

_FORGET_STEP: Final = 1_000
_NONE: Final = b"[]"
_RACE_ATTEMPTS: Final = 5

# Every statement finds its rows by a primary key, once for each row given: by ON CONFLICT, or by LATERAL with LIMIT.
# As joins, on tables that had not been analyzed yet, they read whole tables, and a batch of 500 took seconds.
_LOCK: Final = """
    SELECT found.* FROM unnest($2::bytea[]) AS asked (profile_id) CROSS JOIN LATERAL (
        SELECT profile_id, version, memberships, number FROM membership_versions AS stored
        WHERE stored.workspace = $1 AND stored.profile_id = asked.profile_id
        LIMIT 1 FOR NO KEY UPDATE
    ) AS found
"""
_INSERT: Final = """
    INSERT INTO membership_versions (workspace, profile_id, version, memberships, number)
    SELECT $1, given.*, nextval('profile_numbers') FROM unnest($2::bytea[], $3::bigint[], $4::bytea[]) AS given
    ON CONFLICT DO NOTHING
    RETURNING profile_id, number
"""
# The rows are there and locked, so the number given here is never stored.
_UPDATE: Final = """
    INSERT INTO membership_versions (workspace, profile_id, version, memberships, number)
    SELECT $1, given.*, 0 FROM unnest($2::bytea[], $3::bigint[], $4::bytea[]) AS given
    ON CONFLICT (workspace, profile_id) DO UPDATE
    SET version = excluded.version, memberships = excluded.memberships
"""
_CHANGE: Final = """
    WITH exited AS (
        DELETE FROM memberships WHERE ctid = ANY(ARRAY(
            SELECT found.ctid
            FROM unnest($2::text[], $3::bytea[]) AS given (segment_key, profile_id) CROSS JOIN LATERAL (
                SELECT ctid FROM memberships AS stored
                WHERE stored.workspace = $1 AND stored.segment_key = given.segment_key
                  AND stored.profile_id = given.profile_id LIMIT 1
            ) AS found
        ))
        RETURNING segment_key
    ), entered AS (
        INSERT INTO memberships (workspace, segment_key, profile_id, since_ms, number)
        SELECT $1, given.* FROM unnest($4::text[], $5::bytea[], $6::bigint[], $7::bigint[]) AS given
        ON CONFLICT (workspace, segment_key, profile_id) DO UPDATE SET since_ms = excluded.since_ms
        RETURNING segment_key, xmax = 0 AS added -- a row that was updated carries our lock in xmax
    ), moved AS (
        SELECT segment_key, sum(by) AS by
        FROM (
            SELECT segment_key, 1 AS by FROM entered WHERE added
            UNION ALL SELECT segment_key, -1 FROM exited
            UNION ALL SELECT segment_key, 0 FROM unnest($8::text[]) AS told (segment_key) -- locked, for its numbers
        ) AS steps
        GROUP BY segment_key
    )
    INSERT INTO segment_sizes AS stored (workspace, segment_key, size)
    SELECT $1, segment_key, by FROM moved ORDER BY segment_key
    ON CONFLICT (workspace, segment_key) DO UPDATE SET size = stored.size + excluded.size
"""
_TELL: Final = """
    INSERT INTO membership_changes (workspace, segment_key, seq, profile_id, number, entered, at_ms, segment_version)
    SELECT $1, told.segment_key, nextval('membership_change_seq'), told.profile_id, told.number, told.entered,
        told.at_ms, coalesce((SELECT version FROM segments WHERE workspace = $1 AND key = told.segment_key), 0)
    FROM unnest($2::text[], $3::bytea[], $4::bigint[], $5::boolean[], $6::bigint[])
        AS told (segment_key, profile_id, number, entered, at_ms)
"""


_HELD: Final = """
    SELECT found.* FROM unnest($2::bytea[]) AS asked (profile_id) CROSS JOIN LATERAL (
        SELECT profile_id, version, memberships FROM membership_versions AS stored
        WHERE stored.workspace = $1 AND stored.profile_id = asked.profile_id LIMIT 1
    ) AS found
"""
# Reads the index of the whole workspace once: for mending alone.
_ROWS: Final = """
    SELECT profile_id, segment_key, since_ms FROM memberships WHERE workspace = $1 AND profile_id = ANY($2::bytea[])
"""
# A key is a slug, so that its JSON is its letters between quotes, and stands nowhere else behind a bracket.
_SWEEP: Final = """
    DELETE FROM memberships AS stored WHERE stored.workspace = $1 AND stored.segment_key = $2 AND NOT EXISTS (
        SELECT FROM membership_versions AS known
        WHERE known.workspace = $1 AND known.profile_id = stored.profile_id
          AND position(convert_to('["' || $2 || '",', 'UTF8') IN known.memberships) > 0
    )
"""
_ADD_MISSING: Final = """
    INSERT INTO memberships AS stored (workspace, segment_key, profile_id, since_ms, number)
    SELECT known.workspace, $2, known.profile_id, (pair ->> 1)::bigint, known.number
    FROM membership_versions AS known, json_array_elements(convert_from(known.memberships, 'UTF8')::json) AS pair
    WHERE known.workspace = $1 AND position(convert_to('["' || $2 || '",', 'UTF8') IN known.memberships) > 0
      AND pair ->> 0 = $2
    ON CONFLICT (workspace, segment_key, profile_id) DO UPDATE SET since_ms = excluded.since_ms
    WHERE stored.since_ms <> excluded.since_ms
"""
_RECOUNT: Final = """
    INSERT INTO segment_sizes (workspace, segment_key, size)
    SELECT $1, $2, count(*) FROM memberships WHERE workspace = $1 AND segment_key = $2
    ON CONFLICT (workspace, segment_key) DO UPDATE SET size = excluded.size
"""
# Nobody moves a size but with its row locked.
_LOCK_SIZE: Final = "SELECT 1 FROM segment_sizes WHERE workspace = $1 AND segment_key = $2 FOR UPDATE"


class _Raced(Exception):
    """Another writer added a profile between our look and our insert. The next look sees it."""


_Row: TypeAlias = tuple[bytes, int, bytes]
"""What the index holds, or is to hold, of one profile: its id, its version, its memberships."""


class _Step(NamedTuple):
    """A version of a profile: its number, its memberships, when they were decided."""

    version: int
    memberships: bytes
    at_ms: int


@dataclass(slots=True)
class _Changes:
    """Rows of `memberships` to take out, and to put in or give another beginning; and what is told of it, in order."""

    exited: list[tuple[str, bytes]] = field(default_factory=list)
    entered: list[tuple[str, bytes, int, int]] = field(default_factory=list)
    told: list[tuple[str, bytes, int, bool, int]] = field(default_factory=list)

    def compare(self, profile_id: bytes, number: int, before: bytes, steps: Sequence[_Step]) -> None:
        """Add what leads a profile from the memberships `before` through `steps`."""
        first = dict(documents.membership_pairs(before)) if before != _NONE else {}
        last = first
        for step in steps:
            if step.memberships != before:
                now = dict(documents.membership_pairs(step.memberships))
                self.told += [(key, profile_id, number, False, step.at_ms) for key in last if key not in now]
                self.told += [(key, profile_id, number, True, at_ms) for key, at_ms in now.items() if key not in last]
                before, last = step.memberships, now
        self.entered += [(key, profile_id, at_ms, number) for key, at_ms in last.items() if first.get(key) != at_ms]
        self.exited += [(key, profile_id) for key in first if key not in last]


_FORGET_REST: Final = (
    "DELETE FROM membership_changes WHERE workspace = $1 AND segment_key = $2",
    "DELETE FROM segment_size_history WHERE workspace = $1 AND segment_key = $2",
    "DELETE FROM segment_sizes WHERE workspace = $1 AND segment_key = $2 AND size = 0",
)


class PostgresMembershipIndex:
    """Implements `audience.ports.stores.MembershipIndex`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def put_many(self, profiles: Sequence[Profile]) -> int:
        """Make the index agree with each profile that is newer than what it has seen; gives how many were."""
        batches = _by_workspace(profiles)
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(_Raced),
                stop=stop_after_attempt(_RACE_ATTEMPTS),
                wait=wait_random(0, 0.05),
                reraise=True,
            ):
                with attempt:
                    async with self._pool.transaction() as connection:
                        return sum([await _put(connection, workspace, steps) for workspace, steps in batches])
        except _Raced as error:
            raise StoreUnavailable("other writers keep adding the same profiles") from error
        raise AssertionError("tenacity gives the result or raises")

    async def rewrite(self, profiles: Sequence[Profile]) -> int:
        """Make the index agree with each profile that is not older than what it has seen; gives how many were."""
        written = await self.put_many(profiles)
        for workspace, batch in _by_workspace(profiles):
            async with self._pool.transaction() as connection:
                written += await _mend(connection, workspace, batch)
        return written

    async def held(
        self, workspace: str, profile_ids: Sequence[str]
    ) -> Mapping[str, tuple[int, tuple[Membership, ...]]]:
        """The version and the memberships of each profile that the index knows."""
        rows = await self._pool.fetch(_HELD, workspace, [profile_id.encode() for profile_id in profile_ids])
        return {stored_id.decode(): (version, documents.decode_memberships(kept)) for stored_id, version, kept in rows}

    async def recount(self, workspace: str, segment: str) -> int:
        """Make the members those that the profiles have, and count the size anew; gives how many rows were wrong."""
        async with self._pool.transaction() as connection:
            await connection.execute(_LOCK_SIZE, workspace, segment)
            wrong = row_count(await connection.execute(_SWEEP, workspace, segment))
            wrong += row_count(await connection.execute(_ADD_MISSING, workspace, segment))
            await connection.execute(_RECOUNT, workspace, segment)
            return wrong

    async def counted(self, workspace: str) -> Mapping[str, int]:
        """Each segment's members, counted one by one."""
        rows = await self._pool.fetch(
            "SELECT segment_key, count(*) AS size FROM memberships WHERE workspace = $1 GROUP BY segment_key", workspace
        )
        return {row["segment_key"]: row["size"] for row in rows}

    async def sizes(self, workspace: str) -> Mapping[str, int]:
        """The number of members of each segment that has any."""
        rows = await self._pool.fetch(
            "SELECT segment_key, size FROM segment_sizes WHERE workspace = $1 AND size > 0", workspace
        )
        return {row["segment_key"]: row["size"] for row in rows}

    async def size(self, workspace: str, segment: str) -> int:
        """The number of members of one segment."""
        size: int | None = await self._pool.fetchval(
            "SELECT size FROM segment_sizes WHERE workspace = $1 AND segment_key = $2", workspace, segment
        )
        return size or 0

    async def forget_segment(self, workspace: str, segment: str) -> int:
        """Remove every membership of a deleted segment, a thousand profiles a step; gives how many there were."""
        forgotten = 0
        while step := await self._forget(workspace, segment):
            forgotten += step
        for statement in _FORGET_REST:
            await self._pool.execute(statement, workspace, segment)
        return forgotten

    async def _forget(self, workspace: str, segment: str) -> int:
        async with self._pool.transaction() as connection:
            found = await connection.fetch(
                "SELECT profile_id FROM memberships WHERE workspace = $1 AND segment_key = $2 LIMIT $3",
                workspace,
                segment,
                _FORGET_STEP,
            )
            profile_ids = [row["profile_id"] for row in found]
            rows = [
                (profile_id, version, _without(segment, memberships))
                for profile_id, version, memberships, _ in await connection.fetch(_LOCK, workspace, profile_ids)
            ]
            await connection.execute(_UPDATE, workspace, *_columns(rows, 3))
            await _apply(connection, workspace, _Changes(exited=[(segment, each) for each in profile_ids]))
            return len(found)

    async def check(self) -> None:
        """Return when the server answers."""
        await self._pool.check()


def _by_workspace(profiles: Sequence[Profile]) -> list[tuple[str, dict[bytes, list[_Step]]]]:
    """For each workspace the versions of each profile, all in order: the same order for every writer."""
    found: dict[str, dict[bytes, list[_Step]]] = {}
    for each in sorted(profiles, key=lambda profile: (profile.workspace, profile.profile_id, profile.version)):
        step = _Step(each.version, documents.encode_memberships(each.segments), each.updated_ms)
        found.setdefault(each.workspace, {}).setdefault(each.profile_id.encode(), []).append(step)
    return list(found.items())


async def _put(connection: Connection, workspace: str, batch: Mapping[bytes, list[_Step]]) -> int:
    """Bring one workspace's profiles up to date, inside the caller's transaction. Raises _Raced."""
    locked = await connection.fetch(_LOCK, workspace, list(batch))
    stored = {profile_id: (version, kept, number) for profile_id, version, kept, number in locked}
    known: list[_Row] = []
    new: list[_Row] = []
    for profile_id, steps in batch.items():
        before = stored.get(profile_id)
        if before is None or before[0] < steps[-1].version:
            (new if before is None else known).append((profile_id, steps[-1].version, steps[-1].memberships))
    if known:
        await connection.execute(_UPDATE, workspace, *_columns(known, 3))
    if new:
        numbered = await connection.fetch(_INSERT, workspace, *_columns(new, 3))
        if len(numbered) != len(new):
            raise _Raced
        stored |= {profile_id: (-1, _NONE, number) for profile_id, number in numbered}
    changes = _Changes()
    for profile_id, *_ in (*known, *new):
        version, kept, number = stored[profile_id]
        changes.compare(profile_id, number, kept, [step for step in batch[profile_id] if step.version > version])
    await _apply(connection, workspace, changes)
    return len(known) + len(new)


async def _mend(connection: Connection, workspace: str, batch: Mapping[bytes, list[_Step]]) -> int:
    """Make row and memberships right of each profile whose version is the stored one. Tells nobody."""
    locked = await connection.fetch(_LOCK, workspace, list(batch))
    last = {profile_id: steps[-1] for profile_id, steps in batch.items()}
    numbers = {each: number for each, version, _, number in locked if version == last[each].version}
    rows: dict[bytes, dict[str, int]] = {each: {} for each in numbers}
    for profile_id, segment, since_ms in await connection.fetch(_ROWS, workspace, list(numbers)):
        rows[profile_id][segment] = since_ms
    changes, wrong = _Changes(), []
    for profile_id, version, kept, number in locked:
        if profile_id not in numbers:
            continue
        wanted = dict(documents.membership_pairs(last[profile_id].memberships))
        found = rows[profile_id]
        changes.entered += [(key, profile_id, at, number) for key, at in wanted.items() if found.get(key) != at]
        changes.exited += [(key, profile_id) for key in found if key not in wanted]
        if kept != last[profile_id].memberships or found != wanted:
            wrong.append((profile_id, version, last[profile_id].memberships))
    if wrong:
        await connection.execute(_UPDATE, workspace, *_columns(wrong, 3))
        await _apply(connection, workspace, changes)
    return len(wrong)


async def _apply(connection: Connection, workspace: str, changes: _Changes) -> None:
    if changes.exited or changes.entered or changes.told:
        exited, entered = _columns(sorted(changes.exited), 2), _columns(sorted(changes.entered), 4)
        segments = sorted({segment for segment, *_ in changes.told})
        await connection.execute(_CHANGE, workspace, *exited, *entered, segments)
    if changes.told:
        await connection.execute(_TELL, workspace, *_columns(changes.told, 5))


def _without(segment: str, memberships: bytes) -> bytes:
    left = [each for each in documents.decode_memberships(memberships) if each.segment != segment]
    return documents.encode_memberships(left)


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    """Rows as the columns that ``unnest`` wants; `width` empty ones where there are no rows."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
