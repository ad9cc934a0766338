"""Keeps one job running on the JobManager: a small program that supervisord runs beside Flink's own processes.

A standalone JobManager forgets its jobs when it ends. This program looks, and where the job is not there, submits it
from the newest complete checkpoint or savepoint on disk, so that state outlives `make down`, a killed JobManager and a
killed supervisor. It begins without state only where there is none at all; it never passes one over in silence.

Told to stop (TERM), it cancels the job, which keeps its last checkpoint: TaskManagers that stop while a job runs wait
for it in vain for seconds. Killed, it leaves the job running, and finds it again.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from flink_jobs import checkpoints
from local.flink.rest import Job, JobManager, Refused, Unclear
from local.privileges import tied

LOOK_EVERY_S = 2.0
SUBMIT_WITHIN_S = 240.0
LONGEST_WAIT_S = 30.0
ENDS_WITHIN_S = 5.0
LOG = logging.getLogger("rule-evaluation")


class ToldToStop(BaseException):
    """The TERM signal, wherever it comes in between."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What to keep running, and how to start it. `command` is ``flink run`` up to the options of one start."""

    rest: str
    name: str
    checkpoints: Path
    savepoints: Path
    parallelism: Path
    """The file that says how many subtasks the job is to have; without it, as many as the job's own setting says."""
    command: tuple[str, ...]
    script: Path


def submission(watch: Watch) -> list[str]:
    """The command that submits the job, from the newest checkpoint or savepoint where there is one."""
    found = checkpoints.start_from(watch.checkpoints, watch.savepoints)
    if found is None:
        LOG.info("no checkpoint is there: the job begins without state")
        start: list[str] = []
    else:
        LOG.info("the job begins from %s", found.what)
        start = ["--fromSavepoint", found.path.as_uri()]
    return [*watch.command, *start, "--python", str(watch.script)]


def environment(watch: Watch) -> dict[str, str]:
    """The client's environment, with the parallelism that was asked for."""
    try:
        return {**os.environ, "AUDIENCE_PARALLELISM": watch.parallelism.read_text().strip()}
    except FileNotFoundError:
        return dict(os.environ)


def needs_submission(jobs: Sequence[Job]) -> bool:
    """True where no job of the name is active: never submitted, failed for good, or cancelled by hand."""
    return not any(job.active for job in jobs)


def surplus(jobs: Sequence[Job]) -> Sequence[Job]:
    """Active jobs beside the first: two would evaluate every event twice."""
    return [job for job in jobs if job.active][1:]


def look(watch: Watch, submit: Callable[[], bool]) -> bool:
    """One look at the JobManager. False where a submission failed."""
    manager = JobManager(watch.rest)
    try:
        jobs = manager.jobs(watch.name)
    except Refused:
        # A JobManager that is only starting has no job. The client takes a while before it needs it: no need to wait.
        return submit()
    except Unclear as error:
        LOG.info("waiting for the JobManager: %s", error)
        return True
    for job in surplus(jobs):
        LOG.warning("cancelling job %s: another one of its name is active", job.id)
        manager.cancel(job.id)
    if needs_submission(jobs):
        return submit()
    healthy = [job.id for job in jobs if job.healthy]
    for folder in checkpoints.superseded(watch.checkpoints, healthy):
        LOG.info("removing the checkpoints of job %s, which newer ones replace", folder.name)
        checkpoints.remove([folder])
    return True


def submit_by(watch: Watch) -> bool:
    """Run the client. What it says goes to our log."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            [*tied(), *submission(watch)], env=environment(watch), timeout=SUBMIT_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        LOG.warning("the client did not end within %g s", SUBMIT_WITHIN_S)
        return False
    LOG.info("the client ended with %d after %.1f s", done.returncode, time.monotonic() - began)
    if done.returncode != 0 and checkpoints.start_from(watch.checkpoints, watch.savepoints) is not None:
        LOG.error(
            "the job was not accepted with the state of its last checkpoint: the reason is the last `Caused by` above. "
            "Where operators of the job have changed, their state fits no more, and `make reset` begins anew."
        )
    return done.returncode == 0


def keep(watch: Watch) -> None:
    """Look, until told to stop. After failed submissions wait longer and longer."""
    wait_s = LOOK_EVERY_S
    try:
        while True:
            wait_s = LOOK_EVERY_S if look(watch, lambda: submit_by(watch)) else min(wait_s * 2, LONGEST_WAIT_S)
            time.sleep(wait_s)
    except ToldToStop:
        end(JobManager(watch.rest), watch.name)


def end(manager: JobManager, name: str) -> None:
    """Cancel the jobs of the name and wait, not for long, until they have ended."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    try:
        for job in manager.jobs(name):
            if job.active:
                manager.cancel(job.id)
        while any(job.active for job in manager.jobs(name)) and time.monotonic() < deadline:
            time.sleep(0.1)
    except (Refused, Unclear) as error:
        LOG.info("the job is not cancelled: %s", error)


def _told_to_stop(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise ToldToStop


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rest", required=True, help="the JobManager's address")
    parser.add_argument("--name", required=True, help="the job's name")
    parser.add_argument("--checkpoints", required=True, type=Path)
    parser.add_argument("--savepoints", required=True, type=Path)
    parser.add_argument("--parallelism", required=True, type=Path, help="the file that holds it")
    parser.add_argument("--script", required=True, type=Path, help="the job's program")
    parser.add_argument("command", nargs="+", help="the client's command, after --")
    given = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _told_to_stop)
    files = (given.checkpoints, given.savepoints, given.parallelism)
    keep(Watch(given.rest, given.name, *files, tuple(given.command), given.script))


if __name__ == "__main__":
    main(sys.argv[1:])
