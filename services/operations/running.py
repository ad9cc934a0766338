"""What every command shares: its settings, waiting for a part that starts, an end with a clear message."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential, wait_random

from audience.adapters.postgres.migrate import SchemaTooNew
from audience.adapters.postgres.pool import Pool, open_pool
from audience.adapters.postgres.tokens import TokenExists, TokenMissing
from audience.ports.catalog import SourceExists, SourceMissing
from audience.ports.event_log import EventLogUnavailable
from audience.ports.stores import RecordRefused, StoreUnavailable
from audience.ports.tracking_plans import PlanSourceMissing
from services.operations.settings import OperationsSettings

T = TypeVar("T")
_AWAY = (StoreUnavailable, EventLogUnavailable)
_REFUSED = (SchemaTooNew, SourceExists, SourceMissing, TokenExists, TokenMissing, RecordRefused, PlanSourceMissing)

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def slug(value: str) -> str:
    """An id that keys and addresses can hold; refused otherwise."""
    if not _SLUG.fullmatch(value):
        raise typer.BadParameter("up to 63 small letters, digits and dashes, the first no dash")
    return value


WaitOption = typer.Option(0.0, "--wait", min=0, help="Seconds to wait for a part that does not answer yet.")
WorkspaceOption = typer.Option("demo", "--workspace", callback=slug, help="The workspace; created where it is new.")


def fail(message: str) -> NoReturn:
    """End the command with the message on standard error and status 1."""
    typer.echo(f"audience-ops: {message}", err=True)
    raise typer.Exit(1)


def load_settings() -> OperationsSettings:
    """The settings of the environment; ends the command, naming the variables, where they are not right."""
    try:
        return OperationsSettings()  # type: ignore[call-arg]  # the environment gives them
    except ValidationError as error:
        faults = "; ".join(f"AUDIENCE_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        fail(f"settings: {faults}")


def run(task: Coroutine[Any, Any, T]) -> T:
    """Run a command's work to its end; a part that is away, or a refusal, ends the command with its message."""
    try:
        return asyncio.run(task)
    except (*_AWAY, *_REFUSED) as error:
        fail(str(error))


async def waiting(wait_s: float, action: Callable[[], Awaitable[T]]) -> T:
    """Do it; while the store or the log is away, again and again for `wait_s` seconds."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(_AWAY),
        wait=wait_exponential(multiplier=0.2, max=2) + wait_random(0, 0.2),
        stop=stop_after_delay(wait_s),
        reraise=True,
    ):
        with attempt:
            return await action()
    raise AssertionError("tenacity gives the result or raises")


async def with_pool(settings: OperationsSettings, wait_s: float, work: Callable[[Pool], Awaitable[T]]) -> T:
    """Do it with a connection to the database, as `waiting`."""
    async with open_pool(settings.postgres_dsn.get_secret_value(), max_size=1, application="audience-ops") as pool:
        return await waiting(wait_s, lambda: work(pool))
