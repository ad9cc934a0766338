"""The main job of `make up`: segments, then the history through the SDK, then the proof that every size is right.

Done once for a data folder: a later start sends nothing and shows the sizes of that day. Raises SampleFailed where a
size is wrong.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from local import lag, services
from local.layout import Layout, NotInstalled
from local.sample import history, plan
from local.sample.api import ApiFailed, SegmentApi
from local.sample.expected import ExpectedSizes
from local.sample.history import Purchase
from local.sample.segments import SEGMENTS
from local.sample.sender import NotSent, Sender
from local.sample.settle import Settled, settle
from local.settings import LocalSettings

IN_EFFECT_AFTER_S: Final = 3.0
"""A new segment is in effect everywhere within 2 s. Events from before that would not be looked at again for it."""


class SampleFailed(Exception):
    """The sizes are not what they must be, or the history could not be sent."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A sending: how many events it took how long to hand over."""

    events: int
    took_s: float


@dataclass(frozen=True, slots=True)
class Target:
    """The platform that the sample goes to: its two APIs, how far it is behind, and where the plan for it is kept."""

    ingest: str
    segments: str
    behind: Callable[[], int | None]
    plan: Path


def local_target(settings: LocalSettings, layout: Layout) -> Target:
    """The platform of `make up`."""
    ingest, segments = services.url(settings, "ingest_port"), services.url(settings, "segments_port")
    return Target(ingest, segments, lambda: lag.total(services.kafka(settings)), layout.sample)


def run(target: Target, sample_file: Path, console: Console) -> None:
    """Do it, and print the table. Raises SampleFailed."""
    if not sample_file.exists():
        raise NotInstalled(f"the sample data is not at {sample_file}: run `make setup`")
    purchases = history.read(sample_file)
    known = plan.load(target.plan)
    if known is None:
        known = plan.Plan(shift_days=history.shift_to(purchases, _yesterday()).days)
        plan.save(target.plan, known)
    shift = timedelta(days=known.shift_days)
    _introduce(console, purchases, shift, known)
    began = time.monotonic()
    try:
        with SegmentApi(target.segments) as api, ExpectedSizes(purchases, shift) as truth:
            if api.create(SEGMENTS):
                time.sleep(IN_EFFECT_AFTER_S)
            began = time.monotonic()
            sent = _send(target, console, purchases, known)
            settled = _settle(target, console, api, truth)
    except (ApiFailed, NotSent) as error:
        raise SampleFailed(
            f"the sample stopped: {error}. `make up` goes on where it was; see `make status`."
        ) from error
    _report(console, settled, sent, began)
    if not settled.equal:
        raise SampleFailed(
            f"a size is wrong. {_records(settled.behind)} not yet processed; `make status` shows what does not run."
        )
    plan.save(target.plan, plan.Plan(shift_days=known.shift_days, sent=len(purchases), complete=True))


def _yesterday() -> date:
    return datetime.now(UTC).date() - timedelta(days=1)


def _introduce(console: Console, purchases: Sequence[Purchase], shift: timedelta, known: plan.Plan) -> None:
    first, last = (pick(each.day for each in purchases) + shift for pick in (min, max))
    customers = len({each.customer for each in purchases})
    console.print(
        f"\nSample history: {len(purchases):,} purchases of {customers:,} customers (CDNOW, 1997-1998). "
        f"Dates are moved by {shift.days:,} days: they run from {first} to {last}, each at 12:00 UTC.",
        highlight=False,
    )
    if known.complete:
        console.print("It was sent before, and is not sent again.")
    elif known.sent:
        console.print(f"{known.sent:,} of them were sent before; the rest follows.", highlight=False)


def _send(target: Target, console: Console, purchases: Sequence[Purchase], known: plan.Plan) -> Sent:
    rest = purchases[known.sent :]
    if not rest:
        return Sent(0, 0.0)
    columns = (TextColumn("Sending"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    sender = Sender(target.ingest)
    began = time.monotonic()
    done = known.sent
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
            bar = progress.add_task("send", total=len(purchases), completed=done, rate="")

            def sent(count: int) -> None:
                nonlocal done
                done += count
                plan.save(target.plan, plan.Plan(shift_days=known.shift_days, sent=done))
                rate = (done - known.sent) / (time.monotonic() - began)
                progress.update(bar, completed=done, rate=f"{rate:,.0f} events/s")

            sender.send(rest, timedelta(days=known.shift_days), sent)
    finally:
        sender.close()
    return Sent(len(rest), time.monotonic() - began)


def _settle(target: Target, console: Console, api: SegmentApi, truth: ExpectedSizes) -> Settled:
    with console.status("Waiting until every event has counted …") as spinner:
        return settle(
            sizes=lambda: api.sizes(SEGMENTS),
            expected=lambda: truth.at(time.time_ns() // 1_000_000, SEGMENTS),
            behind=target.behind,
            seen=lambda sizes, behind: spinner.update(
                f"Waiting until every event has counted: {_records(behind)} behind, sizes {list(sizes.values())}"
            ),
        )


def _records(behind: int | None) -> str:
    return "an unknown number of records" if behind is None else f"{behind:,} records"


def _report(console: Console, settled: Settled, sent: Sent, began_s: float) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("segment", "left"), ("size", "right"), ("plain SQL", "right"), ("", "left")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]  # rich wants the literals
    for segment in SEGMENTS:
        size, expected = settled.sizes[segment.key], settled.expected[segment.key]
        same = "[green]equal[/green]" if size == expected else "[red]DIFFERENT[/red]"
        table.add_row(segment.name, f"{size:,}", f"{expected:,}", same)
    console.print()
    console.print(table)
    if sent.events and settled.right_at_s is not None:
        took_s = settled.right_at_s - began_s
        console.print(
            f"\n{sent.events:,} events sent in {sent.took_s:.1f} s ({sent.events / sent.took_s:,.0f} events/s), "
            f"every size right after {took_s:.1f} s ({sent.events / took_s:,.0f} events/s end to end).",
            highlight=False,
        )
