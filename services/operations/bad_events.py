"""`audience-ops bad-events`: what could not be accepted, why, and to send it again once that is mended."""

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from audience.adapters.kafka.bad_events import Filter, Found, KafkaBadEvents, NoSuchPlace
from audience.adapters.postgres.pool import open_pool
from audience.adapters.postgres.replays import PostgresReplays
from audience.adapters.postgres.sources import PostgresSourceCatalog
from audience.ports.event_log import EventLogUnavailable
from services._kit.replaying import IngestRefused, Replaying
from services.operations.running import fail, load_settings, run
from services.operations.settings import OperationsSettings

_SHOWN_BYTES: Final = 100
_AGO: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

bad_events = typer.Typer(help="Events that were not valid: look at them, send them again.", no_args_is_help=True)


def moment(text: str) -> datetime:
    """`2026-01-31`, `2026-01-31T12:00:00Z`, or how long ago: `90s`, `15m`, `2h`, `7d`."""
    if (ago := _AGO.fullmatch(text)) is not None:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("a time as 2026-01-31T12:00:00Z, or how long ago, as 15m or 2d") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


WorkspaceFilter = Annotated[str | None, typer.Option("--workspace", help="Of this workspace.")]
SourceFilter = Annotated[str | None, typer.Option("--source", help="Of this source.")]
ReasonFilter = Annotated[str | None, typer.Option("--reason", help="With this code.")]
SinceFilter = Annotated[
    datetime | None, typer.Option("--since", parser=moment, metavar="TIME", help="Received then or later; or 15m, 2d.")
]
UntilFilter = Annotated[
    datetime | None, typer.Option("--until", parser=moment, metavar="TIME", help="Received earlier than that.")
]


@bad_events.command("list")
def list_bad(
    workspace: WorkspaceFilter = None,
    source: SourceFilter = None,
    reason: ReasonFilter = None,
    since: SinceFilter = None,
    until: UntilFilter = None,
    *,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    counts: Annotated[bool, typer.Option("--counts", help="Only how many, by workspace, source and reason.")] = False,
) -> None:
    """Print the newest, oldest first: place, time, workspace, source, code, JSON pointer, the first of its bytes."""
    settings = load_settings()
    wanted = Filter(workspace, source, reason, _ms(since), _ms(until))
    if counts:
        numbers = Counter((each.bad.workspace, each.bad.source, each.bad.code) for each in _read(settings, wanted))
        for labels, number in sorted(numbers.items()):
            typer.echo("\t".join((*labels, str(number))))
        return
    for each in list(_read(settings, wanted))[-limit:]:
        begins = each.bad.original[:_SHOWN_BYTES].decode(errors="replace")
        fields = (each.place, each.at, each.bad.workspace, each.bad.source, each.bad.code, each.bad.path or "-")
        typer.echo("\t".join((*fields, json.dumps(begins, ensure_ascii=True))))


@bad_events.command("show")
def show(place: Annotated[str, typer.Argument(help="As `list` prints it, 0-123.")]) -> None:
    """Print all of one, as JSON: its original as text where it is text, else in base64."""
    found = _at(load_settings(), place)
    record = msgspec.to_builtins(found.bad, str_keys=True)
    try:
        record["original"] = found.bad.original.decode()
    except UnicodeDecodeError:
        record["original"] = {"base64": base64.b64encode(found.bad.original).decode()}
    typer.echo(json.dumps({"place": found.place, "received_at": found.at, **record}, indent=2))


@bad_events.command("replay")
def replay(
    places: Annotated[list[str] | None, typer.Argument(help="These; or else all that the options name.")] = None,
    workspace: WorkspaceFilter = None,
    source: SourceFilter = None,
    reason: ReasonFilter = None,
    since: SinceFilter = None,
    until: UntilFilter = None,
    *,
    patch: Annotated[
        str, typer.Option("--patch", help='A JSON merge patch for each: \'{"event": "Order Completed"}\'.')
    ] = "{}",
    again: Annotated[bool, typer.Option("--again", help="Also those that were sent again already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be sent; send nothing.")] = False,
) -> None:
    """Send bad events to ingest-api again, each with its own time, and say how many are accepted now.

    Sent again twice an event counts once for as long as the platform remembers its messageId, a day at least.
    """
    settings = load_settings()
    change = _patch(patch)
    wanted = Filter(workspace, source, reason, _ms(since), _ms(until))
    if not places and wanted == Filter():
        fail("name places, or say which by --reason, --source, --workspace, --since or --until")
    found = [_at(settings, place) for place in places] if places else list(_read(settings, wanted))
    run(_replay(settings, found, change, again=again, dry_run=dry_run))


async def _replay(
    settings: OperationsSettings, found: Sequence[Found], patch: dict[str, Any], *, again: bool, dry_run: bool
) -> None:
    dsn = settings.postgres_dsn.get_secret_value()
    console = Console(stderr=True)
    async with open_pool(dsn, max_size=1, application="audience-ops") as pool:
        replaying = Replaying(
            KafkaBadEvents(settings.kafka_bootstrap_servers),
            PostgresSourceCatalog(pool),
            PostgresReplays(pool),
            settings.ingest_url,
        )
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("Sending again", total=len(found))
            try:
                done = await replaying.replay(
                    found, patch, again=again, dry_run=dry_run, progress=lambda sent: progress.advance(task, sent)
                )
            except IngestRefused as error:
                fail(f"{error}; run it again to go on")
    if dry_run:
        for event in done.events:
            typer.echo(json.dumps(event))
    else:
        typer.echo(f"sent again: {done.sent}; accepted: {done.accepted}")
        for reason, number in done.bad_again.most_common():
            typer.echo(f"{number} bad again: {reason}")
    for why, number in done.not_sent.most_common():
        typer.echo(f"{number} not sent: {why}")


def _read(settings: OperationsSettings, wanted: Filter) -> Iterator[Found]:
    """Those that match, oldest first. Ends the command where Kafka is away."""
    try:
        yield from KafkaBadEvents(settings.kafka_bootstrap_servers).read(wanted)
    except EventLogUnavailable as error:
        fail(str(error))


def _at(settings: OperationsSettings, place: str) -> Found:
    """The one at this place. Ends the command where there is none."""
    try:
        return KafkaBadEvents(settings.kafka_bootstrap_servers).at(place)
    except (NoSuchPlace, EventLogUnavailable) as error:
        fail(str(error))


def _patch(text: str) -> dict[str, Any]:
    try:
        patch = msgspec.json.decode(text)
    except msgspec.MsgspecError as error:
        fail(f"--patch is no JSON: {error}")
    if not isinstance(patch, dict):
        fail("--patch is no JSON object")
    return patch


def _ms(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1000)
