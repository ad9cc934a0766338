"""`audience-ops backfill`: how far the histories of new and changed segments are; pause, resume, cancel."""

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from audience.adapters.postgres.backfills import PostgresBackfills
from audience.adapters.postgres.catalog import PostgresSegmentCatalog
from audience.ports.backfills import Backfill, BackfillMissing
from audience.ports.catalog import SegmentMissing, SegmentNotFilled
from audience.rules.dates import format_ms
from services.operations.running import WorkspaceOption, fail, load_settings, run, slug, with_pool

T = TypeVar("T")

backfill = typer.Typer(help="Backfills: segments get what they missed from the lake.", no_args_is_help=True)
SegmentArgument = typer.Argument(callback=slug, help="The segment's key.")
WorkspaceFilter = Annotated[str | None, typer.Option("--workspace", help="Of this workspace alone.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]


def _with_backfills(work: Callable[[PostgresBackfills], Awaitable[T]]) -> T:
    return run(with_pool(load_settings(), 0, lambda pool: work(PostgresBackfills(pool))))


@backfill.command("list")
def list_backfills(
    workspace: WorkspaceFilter = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show those that are outstanding, newest first: a hundred at most."""
    _show(_with_backfills(lambda backfills: backfills.page(workspace, outstanding=not everything)), as_json=as_json)


@backfill.command("show")
def show(segment: str = SegmentArgument, workspace: str = WorkspaceOption, *, as_json: JsonOption = False) -> None:
    """Show the last backfill of a segment."""
    found = _with_backfills(lambda backfills: backfills.newest(workspace, [segment])).get(segment)
    if found is None:
        fail(f"segment {segment!r} has had no backfill")
    _show([found], as_json=as_json)


@backfill.command("pause")
def pause(segment: str = SegmentArgument, workspace: str = WorkspaceOption) -> None:
    """Send nothing more for a segment until its backfill is resumed."""
    _change(segment, lambda backfills: backfills.pause(workspace, segment), "paused")


@backfill.command("resume")
def resume(segment: str = SegmentArgument, workspace: str = WorkspaceOption) -> None:
    """Go on with a paused backfill."""
    _change(segment, lambda backfills: backfills.resume(workspace, segment), "resumed")


@backfill.command("cancel")
def cancel(segment: str = SegmentArgument, workspace: str = WorkspaceOption) -> None:
    """Leave the segment live with what came since it was saved."""
    now_ms = time.time_ns() // 1_000_000
    _change(segment, lambda backfills: backfills.cancel(workspace, segment, now_ms), "cancelled")


@backfill.command("again")
def again(segment: str = SegmentArgument, workspace: str = WorkspaceOption) -> None:
    """Fill all that a segment measures from the lake once more: after the job began again from an older savepoint."""
    now_ms = time.time_ns() // 1_000_000
    try:
        run(
            with_pool(
                load_settings(), 0, lambda pool: PostgresSegmentCatalog(pool).fill_again(workspace, segment, now_ms)
            )
        )
    except (SegmentMissing, SegmentNotFilled):
        fail(f"there is no segment {segment!r} that is evaluated")
    typer.echo(f"segment {segment!r} is filled again")


def _change(segment: str, work: Callable[[PostgresBackfills], Awaitable[None]], done: str) -> None:
    try:
        _with_backfills(work)
    except BackfillMissing:
        fail(f"segment {segment!r} has no backfill that can be {done}")
    typer.echo(f"the backfill of segment {segment!r} is {done}")


def _show(backfills: Sequence[Backfill], *, as_json: bool) -> None:
    now_ms = time.time_ns() // 1_000_000
    rows = [
        {
            "workspace": each.workspace,
            "segment": each.segment,
            "version": each.version,
            "state": each.state,
            "reason": each.reason,
            "phase": each.phase if each.state == "running" else None,
            "profiles_done": each.done,
            "profiles_total": each.profiles,
            "seconds_left": each.seconds_left(now_ms),
            "created_at": format_ms(each.created_ms),
        }
        for each in backfills
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table("workspace", "segment", "version", "state", "profiles", "seconds left", "created")
    for row in rows:
        state = " ".join(str(row[name]) for name in ("state", "phase", "reason") if row[name])
        left = "" if row["seconds_left"] is None else str(row["seconds_left"])
        profiles = f"{row['profiles_done']:,} of {row['profiles_total']:,}"
        table.add_row(*map(str, (row["workspace"], row["segment"], row["version"])), state, profiles, left,
                      str(row["created_at"]))  # fmt: skip
    Console().print(table)
