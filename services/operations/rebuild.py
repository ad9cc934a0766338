"""`audience-ops rebuild`: the stores, and the state of a job that has begun without any, from the lake and Kafka.

A job without state reads the topic of events from where Kafka begins, and definitions and lists whole. What came before
is in the lake: each profile is sent its archived events, which the job takes in as if they came now; the order never
matters. The stores are made from the topic `profiles`, which has the newest record of each profile.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, closing
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from audience.adapters.kafka.job_marks import JobMarks
from audience.adapters.kafka.producer import open_event_log
from audience.adapters.lake.missed import Missed, MissedEvents
from audience.adapters.postgres.backfills import PostgresBackfills
from audience.adapters.postgres.pool import open_pool
from audience.ports.event_log import LogRecord
from audience.ports.lake import PLACES, LakeTooSlow, LakeUnavailable
from audience.wire.topics import COMMANDS, EVENTS, ReplayCommand, encode, key_of
from services._kit.lake import LakeSettings
from services.operations.running import WorkspaceOption, fail, load_settings, run
from services.operations.stores import compare

PORTION: Final = 20_000
"""About so many events are read from the lake at once."""

POLL_S: Final = 0.5


def rebuild(
    workspace: str = WorkspaceOption,
    wait_s: Annotated[float, typer.Option("--wait", min=0, help="Seconds that the job may take.")] = 3_600.0,
    *,
    job: Annotated[
        bool, typer.Option("--job", help="The job has begun without state: give it what Kafka has no longer.")
    ] = False,
) -> None:
    """Make the stores anew, and with --job what the streaming job knows. Status 3: a store is not right in the end."""
    if job:
        try:
            lake = LakeSettings()
        except ValidationError as error:
            fail(f"settings: {error.errors()[0]['msg']}")
        try:
            profiles, events = run(_replay(lake, workspace, wait_s))
        except (LakeUnavailable, LakeTooSlow) as error:
            fail(str(error))
        typer.echo(f"{events:,} archived events of {profiles:,} profiles were taken in")
    compare(0.0, workspace, mend=True, as_json=False)


async def _replay(lake: LakeSettings, workspace: str, wait_s: float) -> tuple[int, int]:
    settings = load_settings()
    bootstrap = settings.kafka_bootstrap_servers
    until_s = time.monotonic() + wait_s
    marks = JobMarks(bootstrap)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_pool(settings.postgres_dsn.get_secret_value(), max_size=1, application="audience-ops")
        )
        if await PostgresBackfills(pool).page(workspace, outstanding=True):
            fail("backfills are outstanding: let them end, or cancel them, before the job's state is made anew")
        event_log = await stack.enter_async_context(open_event_log(bootstrap, "audience-ops", timeout_s=30.0))
        begins = {partition: first for (_, partition), first in (await marks.begins(EVENTS)).items()}
        missed = stack.enter_context(closing(MissedEvents(lake.lake, lake.lake_bounds, workspace, begins)))
        if not await asyncio.to_thread(missed.complete):
            fail("the archive has not taken in all that Kafka has lost: start it, and try again")
        profiles, events = 0, 0
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("Replaying", total=PLACES)
            _, archived = await asyncio.to_thread(missed.count_all)
            step = max(1, PLACES * PORTION // max(PORTION, archived))
            for first in range(0, PLACES, step):
                found = await asyncio.to_thread(list, missed.all_between(first, min(PLACES, first + step)))
                await event_log.append([record for each in found for record in _commands(workspace, each)])
                profiles += sum(bool(each.events) for each in found)
                events += sum(len(each.events) for each in found)
                progress.update(task, completed=first + step)
        sent: Mapping[tuple[str, int], int] = {**await marks.ends(COMMANDS), **await marks.ends(EVENTS)}
        while not await marks.passed(sent):
            if time.monotonic() > until_s:
                fail("the job has not taken in what it was sent; it goes on, run this without --job later")
            await asyncio.sleep(POLL_S)
    return profiles, events


def _commands(workspace: str, missed: Missed) -> Iterator[LogRecord]:
    key = key_of(workspace, missed.profile_id)
    for part in missed.parts():
        if part:
            command = ReplayCommand(
                workspace=workspace, profile_id=missed.profile_id, events=tuple(event for _, event in part)
            )
            yield LogRecord(COMMANDS, key, encode(command))
