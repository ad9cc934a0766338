"""The commands that a newcomer types, and the set-up's refusals."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from local.settings import ROOT

TARGETS = {"up", "down", "status", "logs", "reset", "check", "test", "lock", "bench", "setup", "help"}


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(list(command), cwd=ROOT, env=env, capture_output=True, text=True, check=False)  # noqa: S603


def test_help_lists_every_target_with_one_line() -> None:
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", run("make", "help").stdout, flags=re.MULTILINE))
    written = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(listed) == written
    assert written >= TARGETS


def test_continuous_integration_runs_make_test() -> None:
    assert "make test" in (ROOT / ".ci/run").read_text()


def test_the_set_up_is_a_script_for_any_shell() -> None:
    assert run("sh", "-n", "local/bootstrap.sh").returncode == 0


def test_an_unknown_option_is_refused() -> None:
    done = run("sh", "local/bootstrap.sh", "--fast")
    assert done.returncode == 1
    assert "--print-uv" in done.stderr


def test_what_is_installed_is_not_installed_again() -> None:
    done = run("sh", "local/bootstrap.sh", HOME=os.environ.get("HOME", ""))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout of the set-up alone, and a folder `bin` with the commands that every system has."""
    (tmp_path / "bin").mkdir()
    for name in ("sh", "cat", "cut", "dirname", "head", "id", "mkdir", "rm", "sed", "sha256sum", "tail", "uname"):
        (tmp_path / "bin" / name).symlink_to(Path("/usr/bin") / name)
    for name in ("locks/dev.txt", "locks/flink.txt", "pyproject.toml", "local/kafka/pom.xml", "local/flink/pom.xml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "local/sample").mkdir()
    (tmp_path / "local/sample/requirements.txt").touch()
    (tmp_path / "local/bootstrap.sh").write_text((ROOT / "local/bootstrap.sh").read_text())
    return tmp_path


def bootstrap(bare: Path) -> subprocess.CompletedProcess[str]:
    script = str(bare / "local/bootstrap.sh")
    return run("/bin/sh", script, PATH=str(bare / "bin"), HOME=str(bare))


def test_who_cannot_install_is_told_exactly_what_is_missing(bare: Path) -> None:
    done = bootstrap(bare)
    assert done.returncode == 1
    [command] = re.findall(r"sudo apt-get update && sudo apt-get install .*", done.stderr)
    for package in ("openjdk-17-jre-headless", "maven", "util-linux"):
        assert package in command


def test_another_system_is_refused(bare: Path) -> None:
    (bare / "bin/uname").unlink()
    (bare / "bin/uname").write_text("#!/bin/sh\necho Darwin\n")
    (bare / "bin/uname").chmod(0o755)
    done = bootstrap(bare)
    assert done.returncode == 1
    assert "runs on Linux; this is Darwin" in done.stderr


@pytest.mark.parametrize("line", ["127.0.0.1:15432", "8091", "8083"])
def test_the_pages_ports_are_the_settings(line: str) -> None:
    assert line in (ROOT / "docs/operations/local.md").read_text()


def test_every_setting_is_on_the_page() -> None:
    from local.settings import LocalSettings, variable

    page = (ROOT / "docs/operations/local.md").read_text()
    short = page.replace("`…_", "`AUDIENCE_LOCAL_")
    assert [name for name in map(variable, LocalSettings.model_fields) if f"`{name}`" not in short] == []


def test_the_checkout_holds_no_links() -> None:
    """A link to this machine's environment, once committed, breaks every other checkout."""
    listed = run("git", "ls-files", "--stage")
    if listed.returncode != 0:
        pytest.skip("this is no git checkout")
    assert [line for line in listed.stdout.splitlines() if line.startswith("120000")] == []
