"""The database's schema and Kafka's topics."""

import asyncio
from typing import Annotated

import typer

from audience.adapters.kafka.admin import create_topics
from audience.adapters.kafka.admin import lag as read_lag
from audience.adapters.postgres.migrate import Migrated, SchemaTooNew, pending_sql, revision_of
from audience.adapters.postgres.migrate import migrate as run_migrations
from services.operations.running import WaitOption, load_settings, run, waiting

topics = typer.Typer(help="Kafka topics.", no_args_is_help=True)


def migrate(
    wait_s: float = WaitOption,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the SQL that would run; run nothing.")] = False,
    newer_is_fine: Annotated[
        bool, typer.Option("--newer-is-fine", help="Leave a schema of a newer release alone: for a rollback.")
    ] = False,
) -> None:
    """Bring the database's schema up to date. Safe to run again, and from several places at once."""
    dsn = load_settings().postgres_dsn.get_secret_value()
    if dry_run:
        typer.echo(pending_sql(run(waiting(wait_s, lambda: revision_of(dsn)))) or "-- nothing to do")
        return

    async def action() -> Migrated | None:
        try:
            return await run_migrations(dsn)
        except SchemaTooNew:
            if not newer_is_fine:
                raise
            return None

    done = run(waiting(wait_s, action))
    if done is None:
        typer.echo("the schema is a newer release's, and stays as it is")
        return
    typer.echo(
        f"migrated from {done.before or 'an empty database'} to {done.after}"
        if done.changed
        else f"the schema is up to date ({done.after})"
    )


@topics.command("lag")
def lag(groups: Annotated[list[str], typer.Argument(help="Consumer groups.")]) -> None:
    """Print how many records each consumer group has yet to read: group and number, `-` where it has read nothing."""
    found = run(_lag(load_settings().kafka_bootstrap_servers, groups))
    for group in groups:
        typer.echo(f"{group}\t{found.get(group, '-')}")


async def _lag(bootstrap: str, groups: list[str]) -> dict[str, int]:
    return await asyncio.to_thread(read_lag, bootstrap, groups)


@topics.command("create")
def create(
    wait_s: float = WaitOption,
    partitions: int = typer.Option(0, min=0, help="Of the topics by profile; 0: AUDIENCE_TOPIC_PARTITIONS."),
    replicas: int = typer.Option(0, min=0, help="Of each partition; 0: AUDIENCE_TOPIC_REPLICAS."),
) -> None:
    """Create the topics that are missing; never changes one that is there."""
    settings = load_settings()

    async def action() -> list[str]:
        return await asyncio.to_thread(
            create_topics,
            settings.kafka_bootstrap_servers,
            partitions=partitions or settings.topic_partitions,
            replicas=replicas or settings.topic_replicas,
        )

    created = run(waiting(wait_s, action))
    typer.echo(f"created: {', '.join(created)}" if created else "every topic is there")
