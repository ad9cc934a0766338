"""Flink's configuration: the wheel's own where it says what Flink needs of a JVM, and the demo's sizes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from local.layout import Layout
from local.ports import HOST
from local.settings import LocalSettings

TASKMANAGERS: Final = ("taskmanager-1", "taskmanager-2")
"""One slot each: the GIL is one for a JVM."""

JOBMANAGER_HEAP_MB: Final = 192
METASPACE_MB: Final = 128
OVERHEAD_MB: Final = 192
NETWORK_MB: Final = 32
FRAMEWORK_HEAP_MB: Final = 128
FRAMEWORK_OFF_HEAP_MB: Final = 64


@dataclass(frozen=True, slots=True)
class TaskManagerMemory:
    """How a TaskManager's memory is split. Flink's own split of so small a process would leave almost no heap."""

    process_mb: int
    managed_mb: int

    @property
    def heap_mb(self) -> int:
        taken = METASPACE_MB + OVERHEAD_MB + NETWORK_MB + FRAMEWORK_OFF_HEAP_MB
        return self.process_mb - taken - self.managed_mb

    @property
    def direct_mb(self) -> int:
        return NETWORK_MB + FRAMEWORK_OFF_HEAP_MB


def taskmanager_memory(settings: LocalSettings) -> TaskManagerMemory:
    """RocksDB lives in managed memory; the heap backend needs hardly any."""
    return TaskManagerMemory(settings.taskmanager_memory_mb, 160 if settings.state_backend == "rocksdb" else 64)


LOGGING: Final = """\
monitorInterval = 30
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
rootLogger.appenderRef.rolling.ref = rolling
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %-60c %x - %m%n
# A small file of its own, which the web UI shows.
appender.rolling.name = rolling
appender.rolling.type = RollingFile
appender.rolling.fileName = ${sys:log.file}
appender.rolling.filePattern = ${sys:log.file}.%i
appender.rolling.layout.type = PatternLayout
appender.rolling.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %-60c %x - %m%n
appender.rolling.policies.type = Policies
appender.rolling.policies.size.type = SizeBasedTriggeringPolicy
appender.rolling.policies.size.size = 5MB
appender.rolling.strategy.type = DefaultRolloverStrategy
appender.rolling.strategy.max = 1
# A checkpoint a second would be most of the log.
logger.checkpoints.name = org.apache.flink.runtime.checkpoint.CheckpointCoordinator
logger.checkpoints.level = WARN
# The connector's Kafka client tells its whole configuration at each start.
logger.kafka.name = org.apache.flink.kafka.shaded
logger.kafka.level = WARN
# Its committer registers one metric for each table of the sink, under one name.
logger.metrics.name = org.apache.flink.metrics.MetricGroup
logger.metrics.level = ERROR
"""


def configuration(settings: LocalSettings, layout: Layout) -> dict[str, Any]:
    """All keys, flat, as Flink names them."""
    return {
        **_addresses(settings),
        **_memory(settings),
        **_checkpoints(settings, layout),
        "taskmanager.numberOfTaskSlots": 1,
        "parallelism.default": len(TASKMANAGERS),
        "env.java.opts.all": " ".join(java_options(layout)),
        "python.execution-mode": settings.execution_mode,
        "python.executable": str(layout.flink_python),
        "python.client.executable": str(layout.flink_python),
        "io.tmp.dirs": str(layout.flink_temporary),
        # The job is submitted by `local`; a web page that takes jars would take anybody's.
        "web.submit.enable": False,
        # Whoever watches sees what was a second ago, not ten. Nobody asks while nobody watches.
        "metrics.fetcher.update-interval": 1000,
        # A process that was killed is missed within seconds, where the defaults (10 s, 50 s) would wait a minute.
        # The limit leaves room for a machine that has other things to do.
        "heartbeat.interval": 2000,
        "heartbeat.timeout": 15000,
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 2**31 - 1,
        "restart-strategy.fixed-delay.delay": "1 s",
    }


def write(settings: LocalSettings, layout: Layout) -> Path:
    """Write the configuration's folder and give it."""
    folder = conf_folder(layout)
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(configuration(settings, layout), width=100_000)
    (folder / "config.yaml").write_text(text)
    (folder / "log4j.properties").write_text(LOGGING)
    return folder


def conf_folder(layout: Layout) -> Path:
    return layout.flink / "conf"


def _addresses(settings: LocalSettings) -> dict[str, Any]:
    return {
        "jobmanager.rpc.address": HOST,
        "jobmanager.bind-host": HOST,
        "jobmanager.rpc.port": settings.port("flink_rpc_port"),
        "taskmanager.host": HOST,
        "taskmanager.bind-host": HOST,
        "rest.address": HOST,
        "rest.bind-address": HOST,
        "rest.port": settings.port("flink_rest_port"),
        "rest.bind-port": str(settings.port("flink_rest_port")),
    }


def _memory(settings: LocalSettings) -> dict[str, Any]:
    """Every part of it: Flink's scripts would work out what is left open, with a JVM of its own for each process."""
    memory = taskmanager_memory(settings)
    return {
        "jobmanager.memory.heap.size": f"{JOBMANAGER_HEAP_MB}m",
        "jobmanager.memory.jvm-metaspace.size": f"{METASPACE_MB}m",
        "taskmanager.cpu.cores": 1.0,
        "taskmanager.memory.framework.heap.size": f"{FRAMEWORK_HEAP_MB}m",
        "taskmanager.memory.task.heap.size": f"{memory.heap_mb - FRAMEWORK_HEAP_MB}m",
        "taskmanager.memory.framework.off-heap.size": f"{FRAMEWORK_OFF_HEAP_MB}m",
        "taskmanager.memory.task.off-heap.size": "0m",
        "taskmanager.memory.network.min": f"{NETWORK_MB}m",
        "taskmanager.memory.network.max": f"{NETWORK_MB}m",
        "taskmanager.memory.managed.size": f"{memory.managed_mb}m",
        "taskmanager.memory.jvm-metaspace.size": f"{METASPACE_MB}m",
        "taskmanager.memory.jvm-overhead.min": f"{OVERHEAD_MB}m",
        "taskmanager.memory.jvm-overhead.max": f"{OVERHEAD_MB}m",
    }


def _checkpoints(settings: LocalSettings, layout: Layout) -> dict[str, Any]:
    return {
        "state.backend.type": settings.state_backend,
        "execution.checkpointing.interval": f"{settings.checkpoint_interval_ms} ms",
        "execution.checkpointing.dir": layout.checkpoints.as_uri(),
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.num-retained": 2,
        "execution.checkpointing.timeout": "60 s",
        # One that failed is followed by the next; it is no reason to begin again.
        "execution.checkpointing.tolerable-failed-checkpoints": 100,
    }


def java_options(layout: Layout) -> list[str]:
    """The doors that Flink needs opened in newer JVMs: the wheel's own configuration knows which."""
    shipped = yaml.safe_load((layout.pyflink / "conf/config.yaml").read_text())
    return str(shipped["env"]["java"]["opts"]["all"]).split()
