"""`audience-ops stores`: compares what the stores hold with the topic `profiles`, their source, and mends.

The topic is read one partition after the other, the newest record of each profile: memory for one partition's profiles.
The platform may go on meanwhile: what differs at first is looked at again after a while, and a store that has a newer
version than the topic had when it was read is right. What lies in a store and was never in the topic is found in the
sizes of segments alone. Refuses a record that it cannot decode: the projection set it aside, and so it is passed over.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from typing import Annotated, Final, Protocol

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from audience.adapters import documents
from audience.adapters.kafka.reader import end_of, places_between
from audience.adapters.postgres.membership_index import PostgresMembershipIndex
from audience.adapters.postgres.pool import open_pool
from audience.ports.stores import MembershipIndex, ProfileStore, RecordRefused
from audience.profiles.model import Profile
from audience.wire.topics import PROFILES, decode_profile
from services._kit.profile_store import DAY_S, ProfileStoreSettings, open_profile_store
from services.operations.running import load_settings, run

BATCH: Final = 500
DIFFERENT: Final = 3
"""The exit status where a store differs from the topic: 1 and 2 are those of a command that failed."""
_STATEMENT_TIMEOUT_S: Final = 120.0

stores = typer.Typer(help="What the stores hold, beside the topic `profiles`.", no_args_is_help=True)


class _StoresSettings(ProfileStoreSettings):
    port: int = 0
    """Nothing is served here."""


class Checked(Protocol):
    """A store, as far as it is compared: version and content of a profile, and to write one again."""

    async def held(self, workspace: str, profile_ids: Sequence[str]) -> Mapping[str, tuple[int, bytes]]: ...
    async def mend(self, profiles: Sequence[Profile]) -> int: ...
    def content(self, profile: Profile) -> bytes: ...
    def expected(self, profile: Profile) -> bool: ...


class CheckedProfiles:
    """The profile store. `keeps_since_ms`: a profile that has not changed since may have left by its retention."""

    def __init__(self, store: ProfileStore, keeps_since_ms: int) -> None:
        self._store = store
        self._keeps_since_ms = keeps_since_ms

    async def held(self, workspace: str, profile_ids: Sequence[str]) -> Mapping[str, tuple[int, bytes]]:
        found = await self._store.get_many(workspace, profile_ids)
        return {key: (each.version, self.content(each)) for key, each in found.items()}

    async def mend(self, profiles: Sequence[Profile]) -> int:
        return await self._store.rewrite(profiles)

    def content(self, profile: Profile) -> bytes:
        return documents.encode_memberships(profile.segments) + documents.encode_attributes(profile)

    def expected(self, profile: Profile) -> bool:
        return profile.updated_ms >= self._keeps_since_ms and not profile.forgotten


class CheckedIndex:
    """The membership index."""

    def __init__(self, index: MembershipIndex) -> None:
        self._index = index

    async def held(self, workspace: str, profile_ids: Sequence[str]) -> Mapping[str, tuple[int, bytes]]:
        found = await self._index.held(workspace, profile_ids)
        return {key: (version, documents.encode_memberships(kept)) for key, (version, kept) in found.items()}

    async def mend(self, profiles: Sequence[Profile]) -> int:
        return await self._index.rewrite(profiles)

    def content(self, profile: Profile) -> bytes:
        return documents.encode_memberships(profile.segments)

    def expected(self, profile: Profile) -> bool:  # noqa: ARG002  it keeps every profile
        return True


@dataclass(slots=True)
class Findings:
    """Of one store, in profiles. `mended`: written again."""

    equal: int = 0
    missing: int = 0
    older: int = 0
    different: int = 0
    mended: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        return self.missing + self.older + self.different


@dataclass(slots=True)
class Report:
    """What was found: of each store, and of the sizes of segments (segment: what the index has, what it should)."""

    profiles: int = 0
    undecodable: int = 0
    stores: dict[str, Findings] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    took_s: float = 0.0

    @property
    def sound(self) -> bool:
        return not self.sizes and not any(each.wrong for each in self.stores.values())


class Comparison:
    """One pass over the topic. With `mend` what is wrong is written again, and then compared once more."""

    def __init__(self, checked: Mapping[str, Checked], settle_s: float, *, mend: bool) -> None:
        self.report = Report(stores={name: Findings() for name in checked})
        self.sizes: Counter[tuple[str, str]] = Counter()
        self._checked = checked
        self._settle_s = settle_s
        self._mend = mend

    async def partition(self, profiles: Sequence[Profile]) -> None:
        """The newest version of each profile of a partition."""
        self.report.profiles += len(profiles)
        self.sizes.update((each.workspace, kept.segment) for each in profiles for kept in each.segments)
        for name, store in self._checked.items():
            wrong = await self._wrong(store, profiles)
            if wrong and self._settle_s:
                await asyncio.sleep(self._settle_s)  # the projection may be on its way
                wrong = await self._wrong(store, [profile for profile, _ in wrong])
            findings = self.report.stores[name]
            if wrong and self._mend:
                for batch in _batches([profile for profile, _ in wrong]):
                    findings.mended += await _mended(store, batch)
                wrong = await self._wrong(store, [profile for profile, _ in wrong])
            for profile, what in wrong:
                setattr(findings, what, getattr(findings, what) + 1)
                if len(findings.examples) < 10:
                    findings.examples.append(f"{profile.workspace}:{profile.profile_id} {what}")
            findings.equal += len(profiles) - len(wrong)

    async def _wrong(self, store: Checked, profiles: Sequence[Profile]) -> list[tuple[Profile, str]]:
        wrong = []
        for batch in _batches(profiles):
            workspace = batch[0].workspace
            held = await store.held(workspace, [each.profile_id for each in batch])
            for each in batch:
                found = held.get(each.profile_id)
                if found is None:
                    if store.expected(each):
                        wrong.append((each, "missing"))
                elif found[0] < each.version:
                    wrong.append((each, "older"))
                elif found[0] == each.version and found[1] != store.content(each):
                    wrong.append((each, "different"))
        return wrong


async def _mended(store: Checked, batch: Sequence[Profile]) -> int:
    """Write them again, all but what the store will never take: the projection has set that aside."""
    try:
        return await store.mend(batch)
    except RecordRefused:
        if len(batch) == 1:
            return 0
        middle = len(batch) // 2
        return await _mended(store, batch[:middle]) + await _mended(store, batch[middle:])


def _batches(profiles: Sequence[Profile]) -> Iterator[Sequence[Profile]]:
    """Of one workspace each."""
    by_workspace: dict[str, list[Profile]] = {}
    for each in profiles:
        by_workspace.setdefault(each.workspace, []).append(each)
    for mine in by_workspace.values():
        for start in range(0, len(mine), BATCH):
            yield mine[start : start + BATCH]


def newest_of(bootstrap: str, partition: int, end: int, workspace: str | None, report: Report) -> list[Profile]:
    """The newest record of each profile of a partition, up to an offset; of one workspace, or all. Blocks."""
    values: dict[str, bytes] = {}
    for placed in places_between(bootstrap, PROFILES, {}, {partition: end}):
        if placed.record.value is None:
            values.pop(placed.record.key, None)
        else:
            values[placed.record.key] = placed.record.value
    profiles = []
    for key, value in values.items():
        if workspace is not None and key.partition(":")[0] != workspace:
            continue
        try:
            record = decode_profile(value)
        except msgspec.MsgspecError:
            report.undecodable += 1
            continue
        profiles.append(
            Profile(
                record.workspace, record.profile_id, record.version, record.created_ms, record.updated_ms,
                record.traits, record.computed, tuple(record.segments),
            )
        )  # fmt: skip
    return profiles


SettleOption = Annotated[
    float, typer.Option("--settle", min=0, help="Seconds after which what differs is looked at once more.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")]


WorkspaceFilter = Annotated[str | None, typer.Option("--workspace", help="Of this workspace alone.")]


@stores.command("verify")
def verify(settle_s: SettleOption = 10.0, workspace: WorkspaceFilter = None, *, as_json: JsonOption = False) -> None:
    """Compare every profile of the topic with each store. Status 0: all equal; 3: something differs."""
    compare(settle_s, workspace, mend=False, as_json=as_json)


@stores.command("repair")
def repair(settle_s: SettleOption = 10.0, workspace: WorkspaceFilter = None, *, as_json: JsonOption = False) -> None:
    """Compare, and write again what differs. Status 0: all is equal now; 3: something differs still."""
    compare(settle_s, workspace, mend=True, as_json=as_json)


def compare(settle_s: float, workspace: str | None, *, mend: bool, as_json: bool) -> None:
    """Compare the stores with the topic, print what was found; ends with status 3 where something differs."""
    load_settings()  # says in one message what is missing
    report = run(_run(settle_s, workspace, mend=mend))
    if as_json:
        typer.echo(json.dumps({"sound": report.sound, **asdict(report)}))
    else:
        _print(report)
    if not report.sound:
        raise typer.Exit(DIFFERENT)


async def _run(settle_s: float, workspace: str | None, *, mend: bool) -> Report:
    settings = _StoresSettings()  # type: ignore[call-arg]  # the environment gives them
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        dsn = settings.postgres_dsn.get_secret_value()
        pool = await stack.enter_async_context(
            open_pool(dsn, max_size=2, statement_timeout_s=_STATEMENT_TIMEOUT_S, application="audience-ops")
        )
        index = PostgresMembershipIndex(pool)
        store = await open_profile_store(stack, settings, pool)
        retention_ms = settings.profile_retention_days * DAY_S * 1000 if settings.aerospike_hosts else 0
        keeps_since_ms = time.time_ns() // 1_000_000 - retention_ms if retention_ms else 0
        checked: dict[str, Checked] = {
            "profile-store": CheckedProfiles(store, keeps_since_ms),
            "membership-index": CheckedIndex(index),
        }
        comparison = Comparison(checked, settle_s, mend=mend)
        bootstrap = settings.kafka_bootstrap_servers
        ends = await asyncio.to_thread(end_of, bootstrap, PROFILES)
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("Comparing", total=sum(ends.values()))
            for partition, end in sorted(ends.items()):
                await comparison.partition(
                    await asyncio.to_thread(newest_of, bootstrap, partition, end, workspace, comparison.report)
                )
                progress.advance(task, end)
        await _compare_sizes(comparison, index, mend=mend)
    comparison.report.took_s = round(time.monotonic() - began, 1)
    return comparison.report


async def _compare_sizes(comparison: Comparison, index: MembershipIndex, *, mend: bool) -> None:
    """Sizes count rows. While events flow they move, so only what the platform leaves alone for a while can be told."""
    wanted: dict[str, dict[str, int]] = {}
    for (workspace, segment), size in comparison.sizes.items():
        wanted.setdefault(workspace, {})[segment] = size
    for workspace, sizes in wanted.items():
        wrong = await _wrong_sizes(index, workspace, sizes)
        if mend and wrong:
            for segment in wrong:
                await index.recount(workspace, segment)
            wrong = await _wrong_sizes(index, workspace, sizes)
        for segment, size in wrong.items():
            comparison.report.sizes[f"{workspace}:{segment}"] = (size, sizes.get(segment, 0))


async def _wrong_sizes(index: MembershipIndex, workspace: str, sizes: Mapping[str, int]) -> dict[str, int]:
    """The segments whose size, or whose number of rows, is not what the profiles say, with it."""
    wrong: dict[str, int] = {}
    for found in (await index.counted(workspace), await index.sizes(workspace)):
        wrong |= {key: found.get(key, 0) for key in _unequal(found, sizes)}
    return dict(sorted(wrong.items()))


def _unequal(one: Mapping[str, int], other: Mapping[str, int]) -> set[str]:
    return {key for key in {*one, *other} if one.get(key, 0) != other.get(key, 0)}


def _print(report: Report) -> None:
    typer.echo(
        f"{report.profiles:,} profiles compared in {report.took_s:g} s; {report.undecodable:,} cannot be decoded"
    )
    for name, each in report.stores.items():
        typer.echo(
            f"{name}: {each.equal:,} equal, {each.missing:,} missing, {each.older:,} older, "
            f"{each.different:,} different; {each.mended:,} written again"
        )
        for example in each.examples:
            typer.echo(f"  {example}")
    for segment, (has, should) in report.sizes.items():
        typer.echo(f"segment {segment}: its size is {has:,}, the profiles say {should:,}")
