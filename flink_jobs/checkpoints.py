"""The checkpoints and savepoints on disk: which one to begin from, and which checkpoints are of no more use.

Flink keeps checkpoints in ``<root>/<job id>/chk-<n>`` and savepoints in ``<root>/savepoint-<…>``, and moves
``_metadata`` into place when all the rest is there: a folder without it is neither. A job begun from one has a new id,
and its first own checkpoint is whole. Savepoints are whoever took them's to remove.
"""

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Start:
    """What a job can begin from."""

    path: Path
    completed_ns: int
    what: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint: of which job, its number, and when it was completed."""

    path: Path
    job: str
    number: int
    completed_ns: int


def complete(root: Path) -> list[Checkpoint]:
    """Every complete checkpoint of every job, the oldest first."""
    found = []
    for metadata in root.glob("*/chk-*/_metadata"):
        number = metadata.parent.name.removeprefix("chk-")
        if not number.isdigit():
            continue
        try:
            completed_ns = metadata.stat().st_mtime_ns
        except FileNotFoundError:  # the job has just replaced it by a newer one
            continue
        found.append(Checkpoint(metadata.parent, metadata.parent.parent.name, int(number), completed_ns))
    return sorted(found, key=lambda each: (each.completed_ns, each.number))


def newest(root: Path) -> Checkpoint | None:
    """The checkpoint to begin from; None where there is none at all."""
    found = complete(root)
    return found[-1] if found else None


def start_from(root: Path, savepoints: Path) -> Start | None:
    """The newest checkpoint or savepoint, whichever is newer; None where there is none at all."""
    found = [
        Start(metadata.parent, metadata.stat().st_mtime_ns, f"savepoint {metadata.parent.name}")
        for metadata in savepoints.glob("savepoint-*/_metadata")
    ]
    if (last := newest(root)) is not None:
        found.append(Start(last.path, last.completed_ns, f"checkpoint {last.number} of job {last.job}"))
    return max(found, key=lambda each: each.completed_ns, default=None)


def superseded(root: Path, active: Collection[str]) -> list[Path]:
    """Folders of jobs that are not active, where an active one has a complete checkpoint that is newer than theirs."""
    found = complete(root)
    if not found or found[-1].job not in active:
        return []
    return [folder for folder in sorted(root.iterdir()) if folder.is_dir() and folder.name not in active]


def remove(folders: Collection[Path]) -> None:
    """Remove the folders. One that is already going is no fault."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
