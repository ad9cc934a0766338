"""Becomes a JobManager that runs one job: ``python -m flink_jobs.launch --checkpoints FOLDER --script FILE``.

The start of the JobManager's container where no operator looks after it. The job is part of the JobManager (Flink's
application mode); after a restart it goes on from the newest complete checkpoint in the folder, which must outlive the
container. It begins without state only where there is none; then the topic `events` is read from its beginning.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from flink_jobs import checkpoints

LOG = logging.getLogger("launch")


def command(flink_home: Path, job_id: str, folder: Path, script: str) -> list[str]:
    """What to become. The restored checkpoint is Flink's to remove, when newer ones replace it (claim mode)."""
    found = checkpoints.newest(folder)
    if found is None:
        LOG.info("no checkpoint is there: the job begins without state")
        start: list[str] = []
    else:
        LOG.info("the job begins from checkpoint %d", found.number)
        claim = "-Dexecution.state-recovery.claim-mode=CLAIM"
        start = ["--fromSavepoint", found.path.as_uri(), claim]
    application = ["--job-classname", "org.apache.flink.client.python.PythonDriver", "--job-id", job_id]
    return [
        str(flink_home / "bin/standalone-job.sh"), "start-foreground", *application, *start, "--python", script,
    ]  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Parse, and become it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", required=True, type=Path)
    parser.add_argument("--script", required=True, help="the job's program")
    parser.add_argument("--job-id", required=True, help="32 hexadecimal digits: the same after every restart")
    given = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # No job runs now. Those before the newest are nobody's any more: Flink forgets what it kept when it is killed.
    checkpoints.remove([each.path for each in checkpoints.complete(given.checkpoints)[:-1]])
    become = command(Path(os.environ["FLINK_HOME"]), given.job_id, given.checkpoints, given.script)
    os.execv(become[0], become)  # noqa: S606  it becomes the JobManager, and takes its signals


if __name__ == "__main__":
    main(sys.argv[1:])
