"""`audience-ops sources plan`: what a source's events ought to look like, and how often they do not."""

import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec
import typer

from audience.adapters.json_schema import compile_schema
from audience.adapters.postgres.tracking_plans import PostgresTrackingPlanCatalog
from audience.events.tracking_plans import PlanInvalid, parse_plan
from services.operations.running import WorkspaceOption, fail, load_settings, run, slug, with_pool

T = TypeVar("T")

plan = typer.Typer(help="Tracking plans: a JSON Schema for each event's name.", no_args_is_help=True)
SourceArgument = typer.Argument(callback=slug, help="The source's id.")


def _with_plans(work: Callable[[PostgresTrackingPlanCatalog], Awaitable[T]]) -> T:
    return run(with_pool(load_settings(), 0, lambda pool: work(PostgresTrackingPlanCatalog(pool))))


@plan.command("set")
def set_plan(
    source: str = SourceArgument,
    file: Annotated[typer.FileText, typer.Argument(help="The plan as JSON; `-` is standard input.")] = ...,  # type: ignore[assignment]
    workspace: str = WorkspaceOption,
) -> None:
    """Give a source a tracking plan, in effect within 5 s."""
    try:
        document = msgspec.json.decode(file.read())
        parse_plan(document, compile_schema)
    except msgspec.MsgspecError as error:
        fail(f"the plan is no JSON: {error}")
    except PlanInvalid as error:
        fail("the plan is refused:\n" + "\n".join(f"  {each.path or '/'}: {each.message}" for each in error.faults))
    saved = _with_plans(lambda plans: plans.put(workspace, source, document, time.time_ns() // 1_000_000))
    typer.echo(f"source {source!r} has revision {saved.revision} of its tracking plan")


@plan.command("show")
def show(source: str = SourceArgument, workspace: str = WorkspaceOption) -> None:
    """Print a source's tracking plan as JSON."""
    saved = _with_plans(lambda plans: plans.get(workspace, source))
    if saved is None:
        fail(f"source {source!r} has no tracking plan")
    typer.echo(json.dumps(saved.document, indent=2))


@plan.command("remove")
def remove(source: str = SourceArgument, workspace: str = WorkspaceOption) -> None:
    """Take a source's tracking plan away, within 5 s. What was counted stays."""
    if not _with_plans(lambda plans: plans.delete(workspace, source)):
        fail(f"source {source!r} has no tracking plan")
    typer.echo(f"source {source!r} has no tracking plan any more")


@plan.command("violations")
def violations(
    source: str = SourceArgument,
    workspace: str = WorkspaceOption,
    limit: Annotated[int, typer.Option(min=1, help="So many lines.")] = 100,
) -> None:
    """Print how often events broke the plan: day, event, code, mode, how often, when last, where, how."""
    for each in _with_plans(lambda plans: plans.counts(workspace, source, limit)):
        last = datetime.fromtimestamp(each.last_ms / 1000, UTC).isoformat(timespec="seconds")
        fields = (each.day, each.event, each.code, each.mode, str(each.events), last, each.last_path or "/")
        typer.echo("\t".join((*fields, json.dumps(each.last_message))))
