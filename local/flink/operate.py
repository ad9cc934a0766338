"""What an operator does with the running job: a savepoint, a new version of its code, another parallelism.

`audience-ops job` does the part that any Flink understands. What begins the job again from its newest savepoint here is
the program that keeps it running (`local.flink.job`).
"""

import os
import time
from collections.abc import Mapping, Sequence

from local import commands
from local.flink import config
from local.flink.part import JOB, address
from local.flink.rest import Job, JobManager, Refused, Unclear
from local.layout import Layout
from local.model import NotReady, Part, Platform
from local.settings import LocalSettings
from local.supervision import daemon

LOOK_EVERY_S = 0.5


class NotDone(Exception):
    """It could not be done; the job's state is in a savepoint or checkpoint still."""


def savepoint(settings: LocalSettings, layout: Layout, environ: Mapping[str, str]) -> str:
    """Take a savepoint; where it is. Raises CommandFailed."""
    return _ask(settings, layout, environ, "savepoint")


def upgrade(settings: LocalSettings, layout: Layout, platform: Platform, environ: Mapping[str, str]) -> str:
    """Stop the job with a savepoint and begin it again from there with the code as it is now; the savepoint.

    TaskManagers start anew: Python modules stay loaded in them for as long as they live. Raises CommandFailed, NotDone.
    """
    taken = _ask(settings, layout, environ, "stop")
    supervisor = daemon.connect(layout)
    # First the program that would begin the job again on the old TaskManagers; it needs seconds to do so.
    restarted = (JOB, *config.TASKMANAGERS)
    for name in restarted:
        supervisor.stop(name, wait=True)
    for name in reversed(restarted):
        supervisor.start(name)
    _wait(settings, [part for part in platform.parts if part.name in restarted])
    return taken


def rescale(settings: LocalSettings, layout: Layout, environ: Mapping[str, str], parallelism: int) -> str:
    """Stop the job with a savepoint and let it begin again with so many subtasks. Raises CommandFailed, NotDone."""
    if not 1 <= parallelism <= len(config.TASKMANAGERS):
        raise NotDone(f"there are {len(config.TASKMANAGERS)} TaskManagers of one slot each")
    before = {job.id for job in _jobs(settings)}
    new = layout.parallelism.with_suffix(".new")
    new.write_text(f"{parallelism}\n")
    new.rename(layout.parallelism)
    taken = _ask(settings, layout, environ, "stop")
    deadline = time.monotonic() + settings.start_timeout_s
    while not any(job.healthy and job.id not in before for job in _jobs(settings)):
        if time.monotonic() > deadline:
            raise NotDone(f"the job does not run again; `make logs PART={JOB}` says why")
        time.sleep(LOOK_EVERY_S)
    return taken


def _ask(settings: LocalSettings, layout: Layout, environ: Mapping[str, str], what: str) -> str:
    command = [str(layout.python), "-m", "services.operations", "job", what]
    given = {"PATH": os.defpath, **environ, "AUDIENCE_FLINK_URL": address(settings)}
    arguments = ["--to", layout.savepoints.as_uri(), "--job", settings.job_name]
    return commands.run([*command, *arguments], folder=layout.root, environment=given, within_s=900).strip()


def _jobs(settings: LocalSettings) -> Sequence[Job]:
    try:
        return JobManager(address(settings)).jobs(settings.job_name)
    except (Refused, Unclear) as error:
        raise NotDone(str(error)) from error


def _wait(settings: LocalSettings, parts: Sequence[Part]) -> None:
    deadline = time.monotonic() + settings.start_timeout_s
    for part in parts:
        while True:
            try:
                part.probe()
                break
            except NotReady as error:
                if time.monotonic() > deadline:
                    raise NotDone(f"{part.title}: {error}; `make logs PART={part.name}` says why") from error
                time.sleep(LOOK_EVERY_S)
