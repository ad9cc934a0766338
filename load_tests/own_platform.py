"""A platform of a benchmark's own: started by the command that people run, on other ports, and gone when it is done."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from local.layout import Layout
from local.settings import PREFIX, ROOT, LocalSettings
from local.supervision import daemon

PORT_OFFSET: Final = 15_000
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


def _local(command: str, variables: dict[str, str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AUDIENCE_")}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "local", command],
        cwd=ROOT, env={**environment, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"local {command}: {done.stdout}{done.stderr}")
