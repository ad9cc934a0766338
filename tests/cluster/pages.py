"""The kubectl and helm commands of docs/operations, and running them as a person would."""

import re
import shutil
import subprocess
from pathlib import Path

from local.settings import ROOT

PAGES = ROOT / "docs/operations"
_COMMAND = re.compile(r"^ {4,}((?:kubectl|helm) .*(?:\n {5,}\S.*)*)", re.MULTILINE)


def commands() -> list[str]:
    """Every command, in the order of the pages; one of several lines is joined."""
    found = []
    for page in sorted(PAGES.glob("*.md")):
        for text in _COMMAND.findall(page.read_text()):
            lines = text.splitlines()
            kept = [lines[0]]
            for line in lines[1:]:
                if not kept[-1].endswith("\\"):
                    break
                kept.append(line)
            found.append("\n".join(kept))
    return found


def of_namespace(namespace: str) -> list[str]:
    return [each for each in commands() if namespace in each]


def of_no_namespace() -> list[str]:
    return [each for each in commands() if "audience-manager-" not in each]


def folder_for_commands(folder: Path) -> Path:
    """A folder in which the pages' relative names lead somewhere."""
    for name in ("helm", "k8s"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "overlays/production/values.yaml", folder / "my-values.yaml")
    (folder / "password").write_text("correct horse")
    return folder


def run(command: str, folder: Path) -> str:
    """As a person types it. Fails with what it says."""
    bash = shutil.which("bash") or ""
    done = subprocess.run(  # noqa: S603
        [bash, "-c", command], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout
