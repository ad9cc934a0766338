"""From what the JobManager's container begins its job."""

from pathlib import Path

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
