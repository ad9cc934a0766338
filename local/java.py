"""Starts JVMs quickly: an archive of the classes that a program loads, written by the JVM itself when it first ends.

Loading and verifying classes is most of what a JVM does in its first seconds, and the platform starts five of them.
With the archive (class data sharing, JEP 350) that costs about half. A program's options are read from a file, which
names the archive where there is one and otherwise asks the JVM for one, so that the command itself stays the same.
An archive that does not fit is refused by the JVM, which then goes on without it.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from local.layout import Layout, NotInstalled
from local.settings import LocalSettings

SUFFIX = ".jsa"
STOP_WAIT_S = 45
"""How long a JVM may take to end: the first time it writes its archive then."""


def jit(settings: LocalSettings) -> tuple[str, ...]:
    """Which of the JVM's compilers are used. The second one took half of a start and of the sample's minute."""
    return () if settings.jit == "full" else ("-XX:TieredStopAtLevel=1",)


def executable() -> Path:
    """The Java that is used: JAVA_HOME's, else the one on the path."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else None
    found = found or shutil.which("java")
    if found is None:
        raise NotInstalled("there is no Java: run `make setup`")
    return Path(found)


def command(layout: Layout, name: str, options: Iterable[str], classpath: Iterable[Path], main: str) -> tuple[str, ...]:
    """A JVM's command line up to its program's arguments. `name` is that of `write_options`."""
    jars = os.pathsep.join(str(jar) for jar in classpath)
    return (str(executable()), f"@{_options_file(layout, name)}", *options, "-classpath", jars, main)


def write_options(
    layout: Layout, name: str, classpath: Iterable[Path], *, archive: str = "", may_write: bool = True
) -> None:
    """Write the file that `command` names. Of two JVMs that share an `archive` one alone `may_write` it."""
    kept = _archives(layout) / f"{archive or name}-{_key(classpath)}{SUFFIX}"
    new = layout.run / kept.name
    if may_write:
        new.unlink(missing_ok=True)
    option = ""
    if kept.exists():
        option = f"-XX:SharedArchiveFile={kept}"
    elif may_write:
        option = f"-XX:ArchiveClassesAtExit={new}"
    # -Xshare:auto and the log levels: without an archive that fits the JVM goes on, and says nothing of it.
    text = f'"{option}"\n-Xshare:auto\n-Xlog:cds=off\n-Xlog:cds+dynamic=off\n' if option else "-Xshare:auto\n"
    _options_file(layout, name).write_text(text)


def keep_archives(layout: Layout) -> None:
    """Keep what JVMs that have ended wrote. An older one of the same program goes."""
    for new in layout.run.glob(f"*{SUFFIX}"):
        folder = _archives(layout)
        folder.mkdir(parents=True, exist_ok=True)
        name = new.name.rpartition("-")[0]
        for old in folder.glob(f"{name}-*{SUFFIX}"):
            if old.name.rpartition("-")[0] == name:
                old.unlink(missing_ok=True)
        moved = folder / f"{new.name}.{os.getpid()}"
        shutil.move(new, moved)
        moved.rename(folder / new.name)  # whole or not at all: another platform may be starting with it


def _archives(layout: Layout) -> Path:
    """In the checkout, not with the data: they are of the jars, and another data folder's platform uses them too."""
    return layout.root / ".jars/cds"


def _options_file(layout: Layout, name: str) -> Path:
    return layout.run / f"{name}.java-options"


def _key(classpath: Iterable[Path]) -> str:
    """Changes with Java and with the jars."""
    java = executable().resolve()
    release = java.parent.parent / "release"
    said = release.read_text() if release.exists() else ""
    jars = "\n".join(f"{jar} {jar.stat().st_mtime_ns}" for jar in classpath)
    return hashlib.sha256(f"{java}\n{said}\n{jars}".encode()).hexdigest()[:16]
