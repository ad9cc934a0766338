"""Runs commands that end by themselves, and says what they said when they fail."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.privileges import tied

LINES_SHOWN = 25


class CommandFailed(Exception):
    """A command ended with an error; the message holds the end of its output."""


def run(
    command: Sequence[str],
    *,
    folder: Path,
    become: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    given: str | None = None,
    within_s: float = 120.0,
) -> str:
    """Run `command` and give its output, both streams together. `become` gives up rights. Raises CommandFailed."""
    try:
        done = subprocess.run(
            [*become, *tied(), *command],
            cwd=folder,
            env=environment,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{command[0]} took more than {within_s:g} s: {' '.join(command)}") from error
    if done.returncode != 0:
        end = "\n".join(done.stdout.splitlines()[-LINES_SHOWN:])
        raise CommandFailed(f"`{' '.join(command)}` failed ({done.returncode}):\n{end}")
    return done.stdout
