"""`audience-ops import`: read rows, judge each as ingest-api would, send the good ones to it, write down the others."""

import base64
import csv
import hashlib
import http.client
import json
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from audience.events.normalise import Envelope, NotValid, normalise
from audience.wire.sent import SentEvent
from audience.wire.topics import EventRecord
from services.operations.importing.mapping import (
    BUILT_IN,
    BadMapping,
    BadValue,
    Mapping_,
    Row,
    built_in,
    read_mapping,
)
from services.operations.importing.rows import NotReadable, Source
from services.operations.running import fail, load_settings

AT_ONCE: Final = 500
"""Events in a request."""

TIMEOUT_S: Final = 30.0
AGAIN_FOR_S: Final = 300.0
"""For so long a request is sent again while ingest-api is away or has too much to do."""

_FAR_MS: Final = 1 << 45


class Away(Exception):
    """ingest-api does not take the request just now."""


@dataclass(slots=True)
class Tally:
    """What became of the rows."""

    rows: int = 0
    good: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def import_events(
    file: Annotated[str, typer.Argument(help="A CSV, JSON Lines or Parquet file, or s3://bucket/key.")],
    mapping: Annotated[
        str, typer.Option("--mapping", help=f"A TOML file, or one of {', '.join(BUILT_IN)}.")
    ] = "events",
    form: Annotated[str, typer.Option("--format", help="csv, jsonl or parquet; else as the name ends.")] = "",
    encoding: Annotated[str, typer.Option(help="Of a CSV or JSON Lines file.")] = "utf-8",
    delimiter: Annotated[str, typer.Option(help="Between the values of a CSV file.")] = ",",
    write_key: Annotated[
        str, typer.Option("--write-key", envvar="AUDIENCE_WRITE_KEY", help="Of the source that the events come from.")
    ] = "",
    errors: Annotated[Path | None, typer.Option("--errors", help="Where refused rows go, as CSV.")] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge every row, send nothing.")] = False,
) -> None:
    """Import historical events and traits: they go where live events go, with the times that they have in the file.

    Each row without a messageId of its own gets one from the file's name and size and its number, so that a file sent
    twice within a day counts once. Rows that are refused are written to the file of --errors with the reason.
    """
    if not dry_run and not write_key:
        fail("--write-key (or AUDIENCE_WRITE_KEY) says which source the events come from")
    if form not in ("", "csv", "jsonl", "parquet"):
        fail(f"--format {form!r} is none of csv, jsonl, parquet")
    tally = Tally()
    try:
        rules = _mapping(mapping)
        source = Source.of(file, form or None, encoding, delimiter)  # type: ignore[arg-type]  # checked above
        size = source.size_bytes()
        with ExitStack() as stack:
            progress = stack.enter_context(
                Progress(
                    TextColumn("{task.description}"),
                    BarColumn(),
                    DownloadColumn(),
                    TimeRemainingColumn(),
                    console=Console(stderr=True),
                )
            )
            task = progress.add_task("judging" if dry_run else "importing", total=size)
            refused = _Refused(stack, errors)
            events = _judged(source, rules, tally, refused, lambda done: progress.update(task, completed=done))
            if dry_run:
                for _ in events:
                    pass
            else:
                _send(stack.enter_context(_Ingest(load_settings().ingest_url, write_key)), events)
            progress.update(task, completed=size)
    except (BadMapping, NotReadable, Away) as error:
        fail(str(error))
    what = "would be sent" if dry_run else "sent"
    typer.echo(f"{tally.rows} rows: {tally.good} {what}, {sum(tally.refused.values())} refused")
    for code, number in sorted(tally.refused.items()):
        typer.echo(f"  {code}: {number}")
    if tally.refused and errors is None:
        typer.echo("  (--errors FILE keeps them with their reasons)")


def _mapping(named: str) -> Mapping_:
    if named in BUILT_IN:
        return read_mapping(built_in(named))
    try:
        return read_mapping(Path(named).read_text())
    except OSError as error:
        raise BadMapping(f"{named} is neither a file nor one of {', '.join(BUILT_IN)}: {error}") from error


class _Refused:
    """Writes refused rows down: number, code, field, words, the row as JSON."""

    def __init__(self, stack: ExitStack, path: Path | None) -> None:
        self._writer = None
        if path is not None:
            self._writer = csv.writer(stack.enter_context(path.open("w", newline="")))
            self._writer.writerow(("row", "code", "field", "message", "content"))

    def add(self, number: int, code: str, where: str, message: str, row: Any) -> None:
        if self._writer is not None:
            self._writer.writerow((number, code, where, message, json.dumps(row, default=str)))


def _judged(source: Source, rules: Mapping_, tally: Tally, refused: _Refused, tell: Any) -> Iterator[dict[str, Any]]:
    """The events of the good rows."""
    file_id = hashlib.sha256(f"{Path(source.address).name}:{source.size_bytes()}".encode()).hexdigest()[:16]
    envelope = Envelope(workspace="", source="", received_ms=_FAR_MS, new_message_id=str)
    for number, row in source.rows(tell):
        tally.rows += 1
        try:
            event = {"messageId": f"import-{file_id}-{number}", **_event(rules, row)}
            normalise(msgspec.convert(event, SentEvent), envelope, EventRecord)
        except (BadValue, NotValid, msgspec.ValidationError) as error:
            code, where = "wrong_type", ""
            if isinstance(error, BadValue):
                code, where = error.code, error.field
            elif isinstance(error, NotValid):
                code, where = error.code, error.path
            tally.refused[code] += 1
            refused.add(number, code, where, str(error), None if isinstance(row, Exception) else row)
            continue
        tally.good += 1
        yield event


def _event(rules: Mapping_, row: Row | Exception) -> dict[str, Any]:
    if isinstance(row, Exception):
        raise BadValue("bad_row", "", str(row)) from row
    return rules.event(row)


class _Ingest:
    """One connection to ingest-api."""

    def __init__(self, url: str, write_key: str) -> None:
        self._url = urllib.parse.urlsplit(url)
        credentials = base64.b64encode(f"{write_key}:".encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> "_Ingest":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def post(self, events: list[dict[str, Any]]) -> None:
        """Send a batch, again and again while ingest-api is away. Raises Away; ends the command where it refuses."""
        body = msgspec.json.encode({"batch": events})
        for attempt in Retrying(
            retry=retry_if_exception_type(Away),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            stop=stop_after_delay(AGAIN_FOR_S),
            reraise=True,
        ):
            with attempt:
                self._post(body)

    def _post(self, body: bytes) -> None:
        try:
            if self._connection is None:
                kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
                self._connection = kind(self._url.netloc, timeout=TIMEOUT_S)
            self._connection.request("POST", f"{self._url.path}/v1/import", body, self._headers)
            answer = self._connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._close()
            raise Away(f"ingest-api at {self._url.geturl()} does not answer: {error}") from error
        if answer.status in (429, 503) or answer.status >= 500:
            raise Away(f"ingest-api answered {answer.status}")
        if answer.status != 200:
            fail(f"ingest-api answered {answer.status}: {said[:1_000].decode(errors='replace')}")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _send(ingest: _Ingest, events: Iterator[dict[str, Any]]) -> None:
    batch: list[dict[str, Any]] = []
    for event in events:
        batch.append(event)
        if len(batch) == AT_ONCE:
            ingest.post(batch)
            batch = []
    if batch:
        ingest.post(batch)
