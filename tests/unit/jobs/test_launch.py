"""From what the JobManager's container begins its job."""

import os
from pathlib import Path

import pytest

from flink_jobs import launch

ID = "61756469656e63650000000000000001"


def test_without_a_checkpoint_it_begins_anew(tmp_path: Path) -> None:
    words = launch.command(Path("/opt/flink"), ID, tmp_path, "/job.py")
    assert words[:2] == ["/opt/flink/bin/standalone-job.sh", "start-foreground"]
    assert "--fromSavepoint" not in words
    assert words[words.index("--job-id") + 1] == ID
    assert words[-2:] == ["--python", "/job.py"]


def test_a_complete_checkpoint_is_claimed(tmp_path: Path) -> None:
    for number, complete in ((3, True), (4, False)):
        folder = tmp_path / ID / f"chk-{number}"
        folder.mkdir(parents=True)
        if complete:
            (folder / "_metadata").touch()
    words = launch.command(Path("/opt/flink"), ID, tmp_path, "/job.py")
    assert words[words.index("--fromSavepoint") + 1] == (tmp_path / ID / "chk-3").as_uri()
    assert "-Dexecution.state-recovery.claim-mode=CLAIM" in words


def test_older_checkpoints_go_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    for number in (3, 4):
        folder = tmp_path / ID / f"chk-{number}"
        folder.mkdir(parents=True)
        (folder / "_metadata").touch()
        os.utime(folder / "_metadata", (number, number))
    monkeypatch.setenv("FLINK_HOME", "/opt/flink")
    monkeypatch.setattr(os, "execv", lambda _, words: became.append(words))
    launch.main(["--checkpoints", str(tmp_path), "--script", "/job.py", "--job-id", ID])
    assert [each.name for each in (tmp_path / ID).iterdir()] == ["chk-4"]
    assert (tmp_path / ID / "chk-4").as_uri() in became[0]
