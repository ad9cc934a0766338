"""`python -m local`: what the Makefile's up, down, status, logs and reset call. Says what is wrong in one message."""

import os
import shutil
import sys
from collections.abc import Callable
from typing import NoReturn

import typer
from rich.console import Console

from local import start
from local.assembly import assemble
from local.commands import CommandFailed
from local.flink import operate
from local.layout import Layout, NotInstalled
from local.model import Platform
from local.ports import PortInUse
from local.privileges import CannotDropPrivileges
from local.progress import Progress
from local.sample.job import SampleFailed, local_target
from local.sample.job import run as run_sample
from local.services import environment
from local.settings import ROOT, LocalSettings, SettingsError, load
from local.status import show as show_status
from local.supervision.client import SupervisorAway
from local.supervision.config import CannotBeWritten
from local.supervision.daemon import SupervisorFailed

EXPECTED = (
    CannotBeWritten,
    CannotDropPrivileges,
    CommandFailed,
    operate.NotDone,
    NotInstalled,
    PermissionError,
    PortInUse,
    SampleFailed,
    SettingsError,
    SupervisorAway,
    SupervisorFailed,
    start.StartFailed,
)
WIDTH_OF_FILES = 160
app = typer.Typer(
    help="The platform as processes on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
job = typer.Typer(help="The streaming job: savepoint, upgrade, rescale.", no_args_is_help=True)
app.add_typer(job, name="job")


def _fail(message: str, status: int = 1) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(status)


def _prepared() -> tuple[LocalSettings, Layout, Platform]:
    settings = load(os.environ)
    layout = Layout(ROOT, settings.data_folder)
    layout.require_installed()
    layout.make()  # before the parts: how PostgreSQL is started depends on who can reach its folder
    return settings, layout, assemble(settings, layout, os.environ)


@app.command()
def up() -> None:
    """Start the platform, then send the sample history unless that was done, and print the segments."""
    settings, layout, platform = _prepared()
    console = Console()
    progress = Progress(console)
    start.interruptible()
    with start.alone(layout):
        this = start.Start(settings, layout, platform, os.environ, progress)
        try:
            this.run()
            progress.say(f"[bold]The platform is ready after {progress.elapsed_s:.1f} s.[/bold]")
            if settings.services and settings.sample:
                run_sample(local_target(settings, layout), layout.sample_file, console)
        except KeyboardInterrupt:
            start.deaf()
            progress.say("\nStopping what was started …")
            this.undo()
            _fail("Stopped. `make up` goes on where this one was.", 130)
    _next_steps(console, platform)


def _next_steps(console: Console, platform: Platform) -> None:
    console.print()
    for title, address in platform.links:
        console.print(f"  {title:<14} {address}", highlight=False, soft_wrap=True)
    console.print(
        "\n  make status           what runs, its memory, the consumer lag"
        "\n  make logs PART=kafka  what a part says"
        "\n  make down             stop; the data stays",
        highlight=False,
    )


@app.command()
def down() -> None:
    """Stop the platform. Its data stays."""
    _settings, layout, platform = _prepared()
    with start.alone(layout):
        typer.echo("Stopped." if start.stop(layout, platform) else "The platform does not run.")


@app.command()
def status() -> None:
    """Show each part. Status 0 only when every one is healthy."""
    settings, layout, platform = _prepared()
    # In a terminal the table takes what there is; in a file or a log nothing need be cut.
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_OF_FILES)
    if not show_status(settings, layout, platform, console):
        raise typer.Exit(1)


@job.command()
def savepoint() -> None:
    """Take a savepoint of the running job and print where it is."""
    settings, layout, _platform = _prepared()
    typer.echo(operate.savepoint(settings, layout, environment(settings, layout, os.environ)))


@job.command()
def upgrade() -> None:
    """Begin the job again from a savepoint, with the code as it is now."""
    settings, layout, platform = _prepared()
    with start.alone(layout):
        taken = operate.upgrade(settings, layout, platform, environment(settings, layout, os.environ))
    typer.echo(f"The job runs again from {taken}")


@job.command()
def rescale(parallelism: int = typer.Argument(help="Subtasks: 1 or 2.")) -> None:
    """Begin the job again from a savepoint, with so many subtasks. It stays so until the next time."""
    settings, layout, _platform = _prepared()
    with start.alone(layout):
        taken = operate.rescale(settings, layout, environment(settings, layout, os.environ), parallelism)
    typer.echo(f"The job runs with parallelism {parallelism} from {taken}")


@app.command()
def logs(part: str = typer.Argument("", help="One of the parts of `make status`, or supervisord.")) -> None:
    """Follow a part's log."""
    _settings, layout, platform = _prepared()
    names = [*(each.name for each in platform.parts), "supervisord"]
    if part not in names:
        _fail(f"{'PART is not set' if not part else f'there is no part {part!r}'}; it is one of: {', '.join(names)}", 2)
    log = layout.log_of(part)
    if not log.exists():
        _fail(f"{part} has written no log yet ({log})")
    os.execvp("tail", ["tail", "-n", "200", "-F", str(log)])  # noqa: S606  it becomes tail, and takes its signals


@app.command()
def reset() -> None:
    """Stop the platform and remove all that its parts keep."""
    _settings, layout, platform = _prepared()
    with start.alone(layout):
        start.stop(layout, platform)
        typer.echo(f"Removing {layout.data}: topics, database, checkpoints, logs. What the set-up installed stays.")
        shutil.rmtree(layout.data)


def main(command: Callable[[], object] = app, expected: tuple[type[Exception], ...] = ()) -> None:
    """Run a command; what can be expected to go wrong ends in its message, not in a traceback."""
    try:
        command()
    except EXPECTED + expected as error:
        typer.echo(f"local: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
