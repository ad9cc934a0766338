"""From which checkpoint the job begins, when it is submitted, and what is removed."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flink_jobs import checkpoints
from local.flink import job
from local.flink.rest import Job, Refused, Unclear


def checkpoint(root: Path, job_id: str, number: int, at: int, *, complete: bool = True) -> Path:
    folder = root / job_id / f"chk-{number}"
    folder.mkdir(parents=True)
    if complete:
        (folder / "_metadata").touch()
        os.utime(folder / "_metadata", (at, at))
    return folder


def test_the_newest_by_time_over_all_jobs_is_taken(tmp_path: Path) -> None:
    checkpoint(tmp_path, "first", 900, at=100)
    newest = checkpoint(tmp_path, "second", 3, at=200)
    checkpoint(tmp_path, "second", 2, at=199)
    found = checkpoints.newest(tmp_path)
    assert found is not None
    assert found.path == newest


def test_of_the_same_moment_the_higher_number_is_newer(tmp_path: Path) -> None:
    checkpoint(tmp_path, "a", 10, at=100)
    checkpoint(tmp_path, "a", 9, at=100)
    found = checkpoints.newest(tmp_path)
    assert found is not None
    assert found.number == 10


def test_what_is_not_complete_is_no_checkpoint(tmp_path: Path) -> None:
    checkpoint(tmp_path, "a", 5, at=100, complete=False)
    (tmp_path / "a/shared").mkdir()
    (tmp_path / "a/chk-x").mkdir()
    (tmp_path / "a/chk-x/_metadata").touch()
    assert checkpoints.newest(tmp_path) is None


def test_no_folder_at_all_is_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path / "nothing") is None
    assert checkpoints.superseded(tmp_path / "nothing", ["a"]) == []


def test_older_jobs_are_superseded_once_the_active_one_has_the_newest(tmp_path: Path) -> None:
    checkpoint(tmp_path, "old", 7, at=100)
    checkpoint(tmp_path, "now", 1, at=50, complete=False)
    assert checkpoints.superseded(tmp_path, ["now"]) == []
    checkpoint(tmp_path, "now", 2, at=200)
    assert checkpoints.superseded(tmp_path, ["now"]) == [tmp_path / "old"]
    assert checkpoints.superseded(tmp_path, []) == []
    checkpoints.remove([tmp_path / "old"])
    assert [folder.name for folder in tmp_path.iterdir()] == ["now"]


def watching(root: Path) -> job.Watch:
    return job.Watch(
        rest="http://127.0.0.1:1",
        name="rule_evaluation",
        checkpoints=root,
        savepoints=root / "savepoints",
        parallelism=root / "parallelism",
        command=("flink", "run"),
        script=Path("job.py"),
    )


def savepoint(root: Path, name: str, at: int, *, complete: bool = True) -> Path:
    folder = root / f"savepoints/savepoint-{name}"
    folder.mkdir(parents=True)
    if complete:
        (folder / "_metadata").touch()
        os.utime(folder / "_metadata", ns=(at, at))
    return folder


def test_a_job_begins_from_the_newer_of_checkpoint_and_savepoint(tmp_path: Path) -> None:
    assert checkpoints.start_from(tmp_path, tmp_path / "savepoints") is None
    taken = savepoint(tmp_path, "1", at=100)
    savepoint(tmp_path, "2", at=300, complete=False)
    command = job.submission(watching(tmp_path))
    assert command == ["flink", "run", "--fromSavepoint", taken.as_uri(), "--python", "job.py"]
    newer = checkpoint(tmp_path, "a", 5, at=200)
    assert newer.as_uri() in job.submission(watching(tmp_path))


def test_the_parallelism_that_was_asked_for_goes_to_the_client(tmp_path: Path) -> None:
    assert "AUDIENCE_PARALLELISM" not in job.environment(watching(tmp_path))
    (tmp_path / "parallelism").write_text("1\n")
    assert job.environment(watching(tmp_path))["AUDIENCE_PARALLELISM"] == "1"


def seen(job_id: str, state: str, *, running: int = 2, started_ms: int = 0) -> Job:
    return Job(job_id, "rule_evaluation", state, started_ms, running, 2)


class Manager:
    """A JobManager that says what it is told to."""

    def __init__(self, answer: Sequence[Job] | Exception) -> None:
        self.answer = answer
        self.cancelled: list[str] = []

    def jobs(self, name: str) -> Sequence[Job]:
        assert name == "rule_evaluation"
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)


def look(monkeypatch: pytest.MonkeyPatch, root: Path, manager: Manager, *, submission: bool = True) -> tuple[bool, int]:
    """Whether the look went well, and how many submissions it made."""
    monkeypatch.setattr(job, "JobManager", lambda _: manager)
    submissions: list[Any] = []

    def submit() -> bool:
        submissions.append(None)
        return submission

    watch = watching(root)
    return job.look(watch, submit), len(submissions)


@pytest.mark.parametrize(
    ("answer", "submissions"),
    [
        ([], 1),
        ([seen("a", "FAILED")], 1),
        ([seen("a", "CANCELED"), seen("b", "FINISHED")], 1),
        (Refused("nobody listens"), 1),
        (Unclear("no answer in time"), 0),
        ([seen("a", "RUNNING")], 0),
        ([seen("a", "RESTARTING", running=0)], 0),
        ([seen("a", "INITIALIZING", running=0)], 0),
        ([seen("a", "FAILED"), seen("b", "RUNNING")], 0),
    ],
)
def test_a_job_is_submitted_exactly_where_none_is_active(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Sequence[Job] | Exception, submissions: int
) -> None:
    assert look(monkeypatch, tmp_path, Manager(answer)) == (True, submissions)


def test_a_second_active_job_is_cancelled_and_the_first_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    manager = Manager([seen("first", "RUNNING"), seen("second", "RUNNING", started_ms=1)])
    assert look(monkeypatch, tmp_path, manager) == (True, 0)
    assert manager.cancelled == ["second"]


def test_a_failed_submission_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert look(monkeypatch, tmp_path, Manager([]), submission=False) == (False, 1)


def test_old_checkpoints_stay_until_the_job_is_healthy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    checkpoint(tmp_path, "old", 7, at=100)
    checkpoint(tmp_path, "now", 8, at=200)
    look(monkeypatch, tmp_path, Manager([seen("now", "RUNNING", running=1)]))
    assert (tmp_path / "old").exists()
    look(monkeypatch, tmp_path, Manager([seen("now", "RUNNING")]))
    assert not (tmp_path / "old").exists()


def test_the_submission_names_the_checkpoint_or_none(tmp_path: Path) -> None:
    watch = watching(tmp_path)
    assert job.submission(watch) == ["flink", "run", "--python", "job.py"]
    newest = checkpoint(tmp_path, "a", 1, at=100)
    assert job.submission(watch)[2:4] == ["--fromSavepoint", newest.as_uri()]
