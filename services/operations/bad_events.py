"""`audience-ops bad-events`: what could not be accepted, why, and to send it again once that is mended."""

import asyncio
import base64
import json
import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from audience.adapters.kafka.reader import Mark, begin_of, end_of, places_between
from audience.adapters.postgres.pool import Pool, open_pool
from audience.adapters.postgres.replays import PostgresReplays
from audience.adapters.postgres.sources import PostgresSourceCatalog
from audience.ports.catalog import Source
from audience.wire.topics import EVENTS_BAD, BadEventRecord, decode_bad_event
from services.operations.repair import NotReplayable, repaired
from services.operations.running import fail, load_settings, run
from services.operations.settings import OperationsSettings

AT_ONCE: Final = 100
"""Events in a request of a replay."""
TIMEOUT_S: Final = 30.0
_SHOWN_BYTES: Final = 100
_PLACE: Final = re.compile(r"([0-9]{1,9})-([0-9]{1,18})")
_AGO: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

bad_events = typer.Typer(help="Events that were not valid: look at them, send them again.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class Found:
    """A bad event and where it stands."""

    partition: int
    offset: int
    bad: BadEventRecord

    @property
    def place(self) -> str:
        return f"{self.partition}-{self.offset}"

    @property
    def at(self) -> str:
        return _time(self.bad.received_ms)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which of them: None matches all."""

    workspace: str | None
    source: str | None
    reason: str | None
    since_ms: int | None
    until_ms: int | None

    def holds(self, bad: BadEventRecord) -> bool:
        return (
            self.workspace in (None, bad.workspace)
            and self.source in (None, bad.source)
            and self.reason in (None, bad.code)
            and (self.since_ms is None or bad.received_ms >= self.since_ms)
            and (self.until_ms is None or bad.received_ms < self.until_ms)
        )


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
    if not places and wanted == Filter(None, None, None, None, None):
        fail("name places, or say which by --reason, --source, --workspace, --since or --until")
    found = [_at(settings, place) for place in places] if places else list(_read(settings, wanted))
    run(_replay(settings, found, change, again=again, dry_run=dry_run))


async def _replay(
    settings: OperationsSettings, found: Sequence[Found], patch: dict[str, Any], *, again: bool, dry_run: bool
) -> None:
    dsn = settings.postgres_dsn.get_secret_value()
    async with open_pool(dsn, max_size=1, application="audience-ops") as pool:
        sources = {(each.workspace, each.source): each for each in await PostgresSourceCatalog(pool).sources()}
        done = frozenset() if again else await PostgresReplays(pool).all()
        cannot: Counter[str] = Counter()
        ready: dict[Source, list[tuple[Found, dict[str, Any]]]] = {}
        for each in found:
            source = sources.get((each.bad.workspace, each.bad.source))
            if (each.partition, each.offset) in done:
                cannot["it was sent again already"] += 1
            elif source is None:
                cannot["its source is not there, or revoked"] += 1
            else:
                try:
                    event = repaired(each.bad, each.place, patch)
                except NotReplayable as error:
                    cannot[str(error)] += 1
                else:
                    ready.setdefault(source, []).append((each, event))
        if dry_run:
            for pair in (pair for pairs in ready.values() for pair in pairs):
                typer.echo(json.dumps(pair[1]))
        else:
            await _send_all(settings, pool, ready)
    for why, number in cannot.most_common():
        typer.echo(f"{number} not sent: {why}")


async def _send_all(
    settings: OperationsSettings, pool: Pool, ready: dict[Source, list[tuple[Found, dict[str, Any]]]]
) -> None:
    total = sum(map(len, ready.values()))
    start = await asyncio.to_thread(end_of, settings.kafka_bootstrap_servers, EVENTS_BAD)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Sending again", total=total)
        for source, pairs in ready.items():
            for at in range(0, len(pairs), AT_ONCE):
                part = pairs[at : at + AT_ONCE]
                await asyncio.to_thread(_post, settings.ingest_url, source.write_key, [event for _, event in part])
                await PostgresReplays(pool).add([(each.partition, each.offset) for each, _ in part])
                progress.advance(task, len(part))
    ids = {str(event["messageId"]) for pairs in ready.values() for _, event in pairs}
    bad_again = await asyncio.to_thread(_bad_again, settings, start, ids)
    typer.echo(f"sent again: {total}; accepted: {total - sum(bad_again.values())}")
    for reason, number in bad_again.most_common():
        typer.echo(f"{number} bad again: {reason}")


def _bad_again(settings: OperationsSettings, start: Mark, ids: set[str]) -> Counter[str]:
    bootstrap = settings.kafka_bootstrap_servers
    reasons: Counter[str] = Counter()
    for placed in places_between(bootstrap, EVENTS_BAD, start, end_of(bootstrap, EVENTS_BAD)):
        bad = decode_bad_event(placed.record.value or b"")
        try:
            event = msgspec.json.decode(bad.original)
        except msgspec.MsgspecError:
            continue
        if isinstance(event, dict) and str(event.get("messageId")) in ids:
            reasons[bad.code] += 1
    return reasons


def _post(url: str, write_key: str, events: list[dict[str, Any]]) -> None:
    """Send one batch; ends the command where it is not answered with 200, since nothing would be told of the rest."""
    credentials = base64.b64encode(f"{write_key}:".encode()).decode()
    request = urllib.request.Request(  # noqa: S310  the operator's own setting
        f"{url}/v1/batch",
        data=json.dumps({"batch": events}).encode(),
        headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        fail(f"ingest-api answered {error.code}: {error.read(1_000).decode(errors='replace')}; run it again to go on")
    except OSError as error:
        fail(f"ingest-api at {url} does not answer: {error}; run it again to go on")


def _read(settings: OperationsSettings, wanted: Filter) -> Iterator[Found]:
    """Those that match, oldest first. Ends the command where Kafka is away."""
    bootstrap = settings.kafka_bootstrap_servers

    async def marks() -> tuple[Mark, Mark]:
        # Kafka's own times are those of writing: never earlier than that of receiving, but later by an outage.
        return begin_of(bootstrap, EVENTS_BAD, wanted.since_ms), end_of(bootstrap, EVENTS_BAD)

    start, end = run(marks())
    for placed in places_between(bootstrap, EVENTS_BAD, start, end):
        bad = decode_bad_event(placed.record.value or b"")
        if wanted.holds(bad):
            yield Found(placed.partition, placed.offset, bad)


def _at(settings: OperationsSettings, place: str) -> Found:
    """The one at this place. Ends the command where there is none."""
    spelt = _PLACE.fullmatch(place)
    if spelt is None:
        fail(f"{place!r} is no place; `audience-ops bad-events list` prints them, as 0-123")
    partition, offset = int(spelt[1]), int(spelt[2])
    bootstrap = settings.kafka_bootstrap_servers

    async def marks() -> tuple[int, int]:
        return begin_of(bootstrap, EVENTS_BAD).get(partition, 0), end_of(bootstrap, EVENTS_BAD).get(partition, 0)

    first, end = run(marks())
    if not first <= offset < end:
        fail(f"there is nothing at {place}; the topic holds {partition}-{first} up to {partition}-{end - 1}")
    [placed] = places_between(bootstrap, EVENTS_BAD, {partition: offset}, {partition: offset + 1})
    return Found(partition, offset, decode_bad_event(placed.record.value or b""))


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


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
