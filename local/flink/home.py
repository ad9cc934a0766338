"""The jars of Flink and a Flink home of links: the distribution in the apache-flink wheel and the Kafka connector."""

import shutil
from pathlib import Path

from local.layout import Layout, NotInstalled


def jars(layout: Layout) -> list[Path]:
    """The classpath, as Flink's scripts make it: in order of names, Flink itself last."""
    python = _python_jars(layout)
    connector = list(layout.connector_jars.glob("*.jar"))
    if len(python) != 1 or not connector:
        raise NotInstalled(f"Flink's jars are not in {layout.pyflink} and {layout.connector_jars}: run `make setup`")
    found = [*(layout.pyflink / "lib").glob("*.jar"), *python, *connector]
    return sorted(found, key=lambda jar: (jar.name.startswith("flink-dist"), jar.name))


def folder(layout: Layout) -> Path:
    return layout.flink / "home"


def make(layout: Layout) -> None:
    """Make the home, unless it is what it should be; the wheel may have changed, or a process be using it."""
    home = folder(layout)
    # The client walks opt/ without following a link to a folder: a real folder of links to jars.
    links = {home / "lib" / jar.name: jar for jar in jars(layout)}
    links |= {home / "opt" / jar.name: jar for jar in (layout.pyflink / "opt").glob("*.jar")}
    links |= {home / name: layout.pyflink / name for name in ("bin", "plugins")}
    there = {link for link in home.rglob("*") if link.is_symlink()}
    if there == set(links) and all(link.readlink() == target for link, target in links.items()):
        return
    shutil.rmtree(home, ignore_errors=True)
    for link, target in links.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def _python_jars(layout: Layout) -> list[Path]:
    return list((layout.pyflink / "opt").glob("flink-python-*.jar"))
