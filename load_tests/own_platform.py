"""A platform of a benchmark's own: started by the command that people run, on other ports, and gone when it is done."""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from local.layout import Layout
from local.postgres.part import dsn
from local.settings import PREFIX, ROOT, LocalSettings, load
from local.supervision import daemon

PORT_OFFSET: Final = 15_000
HOST: Final = "127.0.0.1"
STORES: Final = ("kafka", "postgres")


@contextmanager
def own_platform(
    port_offset: int = PORT_OFFSET, *, only: Collection[str] = (), without: Collection[str] = (), **settings: str
) -> Iterator[LocalSettings]:
    """Topics, tables and the demo's credentials are there, the sample is not. Gives its settings.

    `settings` are variables of `make up` without their prefix. Of its parts, all those `without`, or `only` those
    named, run on once it has started. Raises SystemExit with what `up` said where it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as data:
        Path(data).chmod(0o755)  # PostgreSQL's account passes through
        chosen = {"data": data, "port_offset": str(port_offset), "sample": "0", **settings}
        variables = {PREFIX + name.upper(): value for name, value in chosen.items()}
        made = LocalSettings.model_validate(chosen)
        try:
            _local("up", variables)
            supervisor = daemon.connect(Layout(ROOT, made.data_folder))
            for name in supervisor.programs():
                if name in without or (only and name not in only):
                    supervisor.stop(name, wait=True)
            yield made
        finally:
            _local("down", variables)


def add_stores(parser: argparse.ArgumentParser) -> None:
    """The option that says which Kafka and PostgreSQL a benchmark of one service uses."""
    parser.add_argument("--beside", action="store_true", help="use those of `make up`, beside all that runs there")


@contextmanager
def stores(args: argparse.Namespace) -> Iterator[None]:
    """Kafka and PostgreSQL as asked for; `args` says where from here on, as `bootstrap` and `postgres_dsn`."""
    with ExitStack() as stack:
        settings = load(os.environ) if args.beside else stack.enter_context(own_platform(only=STORES, services="0"))
        args.bootstrap, args.postgres_dsn = f"{HOST}:{settings.port('kafka_port')}", dsn(settings)
        yield


def _local(command: str, variables: dict[str, str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AUDIENCE_")}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "local", command],
        cwd=ROOT, env={**environment, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"local {command}: {done.stdout}{done.stderr}")
