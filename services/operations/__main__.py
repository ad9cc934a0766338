"""Runs `audience-ops`. Each command reads its settings from the environment, so that `--help` needs none."""

from importlib.util import find_spec

import typer

from services.operations import backfills, bad_events, credentials, flink_job, lake, platform, stores, tracking_plans
from services.operations.importing.command import import_events
from services.operations.rebuild import rebuild

app = typer.Typer(
    name="audience-ops",
    help="Operate an Audience Manager. Settings are AUDIENCE_* variables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with local variables could show a password
)
app.command("migrate")(platform.migrate)
app.command("sql")(lake.sql)
app.command("import")(import_events)
app.command("rebuild")(rebuild)
app.add_typer(platform.topics, name="topics")
app.command("demo-credentials")(credentials.demo_credentials)
app.add_typer(credentials.sources, name="sources")
credentials.sources.add_typer(tracking_plans.plan, name="plan")
app.add_typer(credentials.tokens, name="tokens")
app.add_typer(bad_events.bad_events, name="bad-events")
app.add_typer(flink_job.job, name="job")
app.add_typer(stores.stores, name="stores")
app.add_typer(backfills.backfill, name="backfill")
if find_spec("kubernetes"):  # it is on an operator's machine, and in no image
    from services.operations.cluster.commands import cluster

    app.add_typer(cluster, name="cluster")


def main() -> None:
    """The entry point of the package's script."""
    app()


if __name__ == "__main__":
    main()
