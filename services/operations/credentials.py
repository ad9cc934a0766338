"""Sources with their write keys, tokens, and the demo's pair of both."""

import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, TypeVar

import typer

from audience.adapters.postgres.pool import Pool
from audience.adapters.postgres.sources import PostgresSourceCatalog
from audience.adapters.postgres.tokens import PostgresTokenCatalog
from audience.ports.catalog import ANY_SCOPE, SCOPES, Source, SourceExists
from services._kit import demo
from services._kit.demo import token_sha256
from services.operations.running import WaitOption, WorkspaceOption, fail, load_settings, run, slug, with_pool

T = TypeVar("T")


class Kind(StrEnum):
    """`audience.ports.catalog.SourceKind`, as typer offers choices."""

    server = "server"
    browser = "browser"
    mobile = "mobile"


sources = typer.Typer(help="Where events come from, and their write keys.", no_args_is_help=True)
tokens = typer.Typer(help="API tokens of those who read segments and profiles.", no_args_is_help=True)


@sources.command("create")
def create_source(
    source: str = typer.Argument(callback=slug, help="Its id, a slug; kept on every event."),
    name: str = typer.Option("", help="What people call it."),
    kind: Annotated[Kind, typer.Option(help="What sends.")] = Kind.server,
    events_per_s: int = typer.Option(0, min=0, help="How much it may send; 0: as much as any source."),
    workspace: str = WorkspaceOption,
) -> None:
    """Add a source, and print its write key."""
    key = secrets.token_urlsafe(24)
    new = Source(workspace, source, name or source, key, kind.value, events_per_s or None)
    run(with_pool(load_settings(), 0, lambda pool: PostgresSourceCatalog(pool).create(new)))
    typer.echo(new.write_key)


@sources.command("list")
def list_sources() -> None:
    """Print every source that is not revoked: workspace, id, kind, name, write key."""
    for each in run(with_pool(load_settings(), 0, lambda pool: PostgresSourceCatalog(pool).sources())):
        typer.echo(f"{each.workspace}\t{each.source}\t{each.kind}\t{each.name}\t{each.write_key}")


@sources.command("revoke")
def revoke_source(
    source: str = typer.Argument(callback=slug, help="Its id."),
    workspace: str = WorkspaceOption,
) -> None:
    """Let nothing in by a source's write key any more: within 5 s, for good. Its id stays taken."""
    run(with_pool(load_settings(), 0, lambda pool: PostgresSourceCatalog(pool).revoke(workspace, source)))
    typer.echo(f"source {source!r} of workspace {workspace!r} is revoked")


@tokens.command("create")
def create_token(
    name: str = typer.Argument(help="Who it is for; unique in the workspace."),
    workspace: str = WorkspaceOption,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help=f"One of {', '.join(SCOPES)}; again for more. None: all.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3_650, help="It ends after so many. None: never.")] = None,
) -> None:
    """Make a token and print it. Only its SHA-256 is kept, so it cannot be shown again."""
    if unknown := [each for each in scope or () if each not in SCOPES]:
        fail(f"there is no scope {unknown[0]!r}; there are {', '.join(SCOPES)}")
    token = f"am_{secrets.token_urlsafe(32)}"
    ends_at = None if days is None else datetime.now(UTC) + timedelta(days=days)

    async def create(pool: Pool) -> None:
        scopes = scope or (ANY_SCOPE,)
        await PostgresTokenCatalog(pool).create(workspace, name, token_sha256(token), scopes, ends_at)

    run(with_pool(load_settings(), 0, create))
    typer.echo(token)


@tokens.command("revoke")
def revoke_token(name: str = typer.Argument(help="Its name."), workspace: str = WorkspaceOption) -> None:
    """Take a token away. It stops working within seconds (AUDIENCE_TOKEN_CACHE_S)."""
    run(with_pool(load_settings(), 0, lambda pool: PostgresTokenCatalog(pool).revoke(workspace, name)))
    typer.echo(f"revoked {name!r}")


@tokens.command("list")
def list_tokens() -> None:
    """Print every token's workspace, name, scopes, when it was made, ends, was used last; never the token."""
    for each in run(with_pool(load_settings(), 0, lambda pool: PostgresTokenCatalog(pool).list())):
        times = (each.created_at, each.expires_at, each.last_used_at)
        shown = [at.isoformat(timespec="seconds") if at else "-" for at in times]
        typer.echo("\t".join((each.workspace, each.name, ",".join(each.scopes), *shown)))


def demo_credentials(wait_s: float = WaitOption) -> None:
    """Make workspace `demo` with its well-known write key and token. Refused in production."""
    settings = load_settings()
    if settings.environment not in ("local", "demo"):
        fail(f"the environment is {settings.environment!r}; everybody knows the demo's credentials")
    run(with_pool(settings, wait_s, _ensure_demo))
    typer.echo(f"workspace {demo.WORKSPACE!r} has write key {demo.WRITE_KEY!r} and API token {demo.API_TOKEN!r}")


async def _ensure_demo(pool: Pool) -> None:
    source_catalog, token_catalog = PostgresSourceCatalog(pool), PostgresTokenCatalog(pool)
    if not any(each.write_key == demo.WRITE_KEY for each in await source_catalog.sources()):
        with suppress(SourceExists):  # revoked, and whoever did that meant it
            await source_catalog.create(Source(demo.WORKSPACE, demo.SOURCE, "Demo", demo.WRITE_KEY))
    digest = token_sha256(demo.API_TOKEN)
    if await token_catalog.access_of(digest) is None:
        await token_catalog.create(demo.WORKSPACE, "demo", digest)
