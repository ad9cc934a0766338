"""How Flink's JVMs are started: by their main classes, with what Flink's scripts would give them.

The scripts would start one or two JVMs more for each process, to read the configuration and to split the memory;
here both are known. Everything that a script exports for the processes is in `environment`.
"""

from collections.abc import Sequence
from typing import Final

from local import java
from local.flink import config, home
from local.layout import Layout
from local.settings import LocalSettings

CLIENT: Final = "flink-client"
JOBMANAGER: Final = "jobmanager"
TASKMANAGER: Final = "taskmanager"

_JOBMANAGER_MAIN: Final = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASKMANAGER_MAIN: Final = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
_CLIENT_MAIN: Final = "org.apache.flink.client.cli.CliFrontend"
# Short-lived or seldom busy: the second compiler would cost more than it gives.
_LIGHT: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def jobmanager(layout: Layout) -> tuple[str, ...]:
    heap = (f"-Xmx{config.JOBMANAGER_HEAP_MB}m", "-Xms64m", f"-XX:MaxMetaspaceSize={config.METASPACE_MB}m")
    return (*_jvm(layout, JOBMANAGER, [*heap, *_LIGHT], JOBMANAGER, _JOBMANAGER_MAIN), *_configuration(layout))


def taskmanager(settings: LocalSettings, layout: Layout, name: str) -> tuple[str, ...]:
    memory = config.taskmanager_memory(settings)
    options = [
        f"-Xmx{memory.heap_mb}m",
        "-Xms128m",
        f"-XX:MaxDirectMemorySize={memory.direct_mb}m",
        f"-XX:MaxMetaspaceSize={config.METASPACE_MB}m",
        "-XX:+UseSerialGC",  # one slot, one core: nothing is there for a second thread to collect with
        *java.jit(settings),
    ]
    # With an id of its own choosing, one that comes back after a kill takes the place of the lost one at once.
    identity = ("-D", f"taskmanager.resource-id={name}")
    return (*_jvm(layout, name, options, name, _TASKMANAGER_MAIN), *_configuration(layout), *identity)


def client(layout: Layout) -> tuple[str, ...]:
    """``flink``, the command: its arguments follow."""
    return _jvm(layout, CLIENT, ["-Xmx256m", *_LIGHT], CLIENT, _CLIENT_MAIN)


def write_options(layout: Layout) -> None:
    """Write the options files of all of them. The TaskManagers are alike, and share an archive."""
    jars = home.jars(layout)
    for name in (CLIENT, JOBMANAGER, *config.TASKMANAGERS):
        shared = TASKMANAGER if name in config.TASKMANAGERS else name
        java.write_options(layout, name, jars, archive=shared, may_write=name != config.TASKMANAGERS[1])


def environment(layout: Layout) -> dict[str, str]:
    """What Flink's scripts export, and what PyFlink needs."""
    root = home.folder(layout)
    return {
        "FLINK_HOME": str(root),
        "FLINK_LIB_DIR": str(root / "lib"),
        "FLINK_OPT_DIR": str(root / "opt"),
        "FLINK_PLUGINS_DIR": str(root / "plugins"),
        "FLINK_BIN_DIR": str(root / "bin"),
        "FLINK_CONF_DIR": str(config.conf_folder(layout)),
        # Thread mode loads Python into the TaskManager's JVM, which knows nothing of virtual environments.
        "PYTHONPATH": f"{layout.flink_site_packages}:{layout.root}",
        # The job's own folder is not on the path: its module `operator` would stand in for the standard library's.
        "PYTHONSAFEPATH": "1",
    }


def _jvm(layout: Layout, name: str, options: Sequence[str], log: str, main: str) -> tuple[str, ...]:
    logging = config.conf_folder(layout) / "log4j.properties"
    # The web UI shows this file. What is printed goes to supervisord's.
    log_file = layout.logs / "flink" / f"{log}.log"
    settings = [
        f"-Djava.io.tmpdir={layout.flink_temporary}",
        f"-Dlog.file={log_file}",
        f"-Dlog4j.configurationFile={logging.as_uri()}",
    ]
    return java.command(layout, name, [*options, *config.java_options(layout), *settings], home.jars(layout), main)


def _configuration(layout: Layout) -> tuple[str, str]:
    return ("--configDir", str(config.conf_folder(layout)))
