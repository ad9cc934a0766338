"""Stores and a log in memory, for tests that need no part of the platform. They keep the ports' promises."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from audience.adapters import documents
from audience.ports.catalog import (
    CatalogMoved,
    CatalogView,
    EvaluatedSegments,
    RevisionConflict,
    Segment,
    SegmentDraft,
    SegmentExists,
    SegmentInUse,
    SegmentLeaving,
    SegmentMissing,
    TokenAccess,
)
from audience.ports.evaluation import Reached
from audience.ports.event_log import EventLogUnavailable, LogRecord
from audience.ports.stores import StoreUnavailable
from audience.profiles.model import Membership, Profile


class Away:
    """Something that can be switched off."""

    away = False

    async def check(self) -> None:
        if self.away:
            raise StoreUnavailable("switched off")


class MemoryProfileStore(Away):
    def __init__(self) -> None:
        self.profiles: dict[tuple[str, str], Profile] = {}
        self.reads = 0

    async def get_many(self, workspace: str, profile_ids: Sequence[str]) -> Mapping[str, Profile]:
        return {key: each for key, each in (await self._kept(workspace, profile_ids)).items() if not each.forgotten}

    async def _kept(self, workspace: str, profile_ids: Sequence[str]) -> Mapping[str, Profile]:
        await self.check()
        return {each: self.profiles[workspace, each] for each in profile_ids if (workspace, each) in self.profiles}

    async def memberships(self, workspace: str, profile_ids: Sequence[str]) -> Mapping[str, tuple[Membership, ...]]:
        self.reads += 1
        return {key: each.segments for key, each in (await self._kept(workspace, profile_ids)).items()}

    async def put_many(self, profiles: Sequence[Profile]) -> int:
        return await self._put(profiles, mend=False)

    async def rewrite(self, profiles: Sequence[Profile]) -> int:
        return await self._put(profiles, mend=True)

    async def _put(self, profiles: Sequence[Profile], *, mend: bool) -> int:
        await self.check()
        written = 0
        for profile in (each for _, group in documents.newest(profiles) for each in group):
            known = self.profiles.get((profile.workspace, profile.profile_id))
            if known is None or known.version < profile.version or (mend and known.version == profile.version):
                ordered = tuple(sorted(profile.segments, key=lambda each: each.segment))
                self.profiles[profile.workspace, profile.profile_id] = replace(profile, segments=ordered)
                written += 1
        return written


class MemoryMembershipIndex(MemoryProfileStore):
    async def held(
        self, workspace: str, profile_ids: Sequence[str]
    ) -> Mapping[str, tuple[int, tuple[Membership, ...]]]:
        found = await self._kept(workspace, profile_ids)
        return {key: (each.version, each.segments) for key, each in found.items()}

    async def recount(self, workspace: str, segment: str) -> int:  # noqa: ARG002  its sizes are always counted
        await self.check()
        return 0

    async def counted(self, workspace: str) -> Mapping[str, int]:
        return await self.sizes(workspace)

    async def sizes(self, workspace: str) -> Mapping[str, int]:
        await self.check()
        sizes: dict[str, int] = {}
        for (of, _), profile in self.profiles.items():
            for each in profile.segments if of == workspace else ():
                sizes[each.segment] = sizes.get(each.segment, 0) + 1
        return sizes

    async def size(self, workspace: str, segment: str) -> int:
        return (await self.sizes(workspace)).get(segment, 0)

    async def forget_segment(self, workspace: str, segment: str) -> int:
        forgotten = await self.size(workspace, segment)
        for key, profile in self.profiles.items():
            if key[0] == workspace:
                left = tuple(each for each in profile.segments if each.segment != segment)
                self.profiles[key] = replace(profile, segments=left)
        return forgotten


class MemoryEventLog(Away):
    def __init__(self) -> None:
        self.records: list[LogRecord] = []

    async def append(self, records: Sequence[LogRecord]) -> None:
        if self.away:
            raise EventLogUnavailable("switched off")
        self.records.extend(records)


class MemoryTokenCatalog(Away):
    def __init__(self, tokens: Mapping[bytes, str]) -> None:
        self.tokens = dict(tokens)
        self.scopes = frozenset("*")
        self.last_used: dict[bytes, float] = {}
        self.asked = 0

    async def access_of(self, token_sha256: bytes) -> TokenAccess | None:
        self.asked += 1
        await self.check()
        workspace = self.tokens.get(token_sha256)
        return None if workspace is None else TokenAccess(workspace, self.scopes)

    async def used(self, at_s: Mapping[bytes, float]) -> None:
        await self.check()
        self.last_used.update(at_s)


class MemoryEvaluationProgress(Away):
    def __init__(self) -> None:
        self.reached: Reached | None = None
        self.untold_ms: int | None = None

    async def untold_since_ms(self) -> int | None:
        await self.check()
        return self.untold_ms

    async def advance(self, reached: Reached) -> None:
        await self.check()
        before = self.reached or reached
        self.reached = Reached(*map(max, before, reached))

    async def read(self) -> Reached | None:
        await self.check()
        return self.reached


class MemorySegmentCatalog(Away):
    """Keeps the promises of `audience.ports.catalog.SegmentCatalog`, in one process."""

    def __init__(self) -> None:
        self.segments: dict[tuple[str, str], Segment] = {}
        self.refers_to: dict[tuple[str, str], frozenset[str]] = {}
        self.published: dict[tuple[str, str], int] = {}
        self.revision = 0

    async def view(self, workspace: str) -> CatalogView:
        await self.check()
        known = {key: each for (of, key), each in self.segments.items() if of == workspace}
        evaluated = [key for key, each in known.items() if each.status in ("live", "paused") and not each.deleted]
        revision = max((each.revision for each in known.values()), default=0)
        return CatalogView(revision, {key: self.refers_to[workspace, key] for key in evaluated})

    async def create(self, workspace: str, draft: SegmentDraft, view: CatalogView, now_ms: int) -> Segment:
        if (before := self.segments.get((workspace, draft.key))) is not None:
            raise SegmentLeaving if before.deleted else SegmentExists
        return await self._put(workspace, draft, view, 1, now_ms, now_ms)

    async def replace(
        self, workspace: str, draft: SegmentDraft, view: CatalogView, known: frozenset[int] | None, now_ms: int
    ) -> Segment:
        before = self._held(workspace, draft.key, known)
        if draft.status not in ("live", "paused"):
            self._unused(workspace, draft.key)
        version = before.version + (repr(before.rule) != repr(draft.rule))
        return await self._put(workspace, draft, view, version, before.created_ms, now_ms)

    async def delete(self, workspace: str, key: str, known: frozenset[int] | None, now_ms: int) -> None:
        before = self._held(workspace, key, known)
        self._unused(workspace, key)
        self.revision += 1
        self.segments[workspace, key] = replace(
            before, deleted=True, status="archived", revision=self.revision, updated_ms=now_ms
        )
        self.refers_to[workspace, key] = frozenset()

    async def get(self, workspace: str, key: str) -> Segment | None:
        await self.check()
        found = self.segments.get((workspace, key))
        return None if found is None or found.deleted else found

    async def page(self, workspace: str, after_key: str, limit: int) -> Sequence[Segment]:
        await self.check()
        keys = sorted(key for (of, key), each in self.segments.items() if of == workspace and not each.deleted)
        return [self.segments[workspace, key] for key in keys if key > after_key][:limit]

    async def evaluated(self, known: object) -> tuple[object, Mapping[str, EvaluatedSegments]] | None:
        await self.check()
        mark = (self.revision, len(self.segments))
        if mark == known:
            return None
        return mark, {of: await self._evaluated(of) for of, _ in self.segments}

    async def _evaluated(self, workspace: str) -> EvaluatedSegments:
        keys = frozenset((await self.view(workspace)).segments)
        found = {key: self.segments[workspace, key] for key in keys}
        return EvaluatedSegments(keys, {key: each.updated_ms for key, each in found.items() if each.status == "live"})

    @asynccontextmanager
    async def publishing(self, limit: int) -> AsyncIterator[Sequence[Segment]]:
        await self.check()
        untold = [each for key, each in self.segments.items() if self.published.get(key, 0) < each.revision]
        told = sorted(untold, key=lambda each: each.revision)[:limit]
        yield told
        for each in told:
            self.published[each.workspace, each.key] = each.revision

    async def leaving(self) -> Sequence[Segment]:
        return [each for key, each in self.segments.items() if each.deleted and self.published[key] == each.revision]

    async def purge(self, segment: Segment) -> None:
        self.segments.pop((segment.workspace, segment.key), None)

    async def _put(
        self, workspace: str, draft: SegmentDraft, view: CatalogView, version: int, created_ms: int, now_ms: int
    ) -> Segment:
        if (await self.view(workspace)).revision != view.revision:
            raise CatalogMoved
        self.revision += 1
        segment = Segment(
            workspace=workspace,
            key=draft.key,
            name=draft.name,
            description=draft.description,
            rule=draft.rule,
            tags=draft.tags,
            status=draft.status,
            version=version,
            revision=self.revision,
            created_ms=created_ms,
            updated_ms=now_ms,
            saved_revision=self.revision,
            revised_ms=now_ms,
        )
        self.segments[workspace, draft.key] = segment
        self.refers_to[workspace, draft.key] = draft.refers_to
        return segment

    def _held(self, workspace: str, key: str, known: frozenset[int] | None) -> Segment:
        found = self.segments.get((workspace, key))
        if found is None or found.deleted:
            raise SegmentMissing
        if known is not None and found.revision not in known:
            raise RevisionConflict
        return found

    def _unused(self, workspace: str, key: str) -> None:
        users = [
            other
            for (of, other), each in self.segments.items()
            if of == workspace and other != key and key in self.refers_to[of, other] and each.status != "archived"
        ]
        if users:
            raise SegmentInUse(users)


def explanation(profile_id: str, segment: str, version: int, tree: Mapping[str, Any]) -> dict[str, Any]:
    """What the job answers."""
    return {
        "profile_id": profile_id,
        "segment": segment,
        "version": version,
        "member": True,
        "as_of": "2026-01-01T00:00:00.000Z",
        "tree": tree,
    }
