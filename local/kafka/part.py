"""Kafka as a part: formatted once by its own tool, started by its own main class."""

import base64
import socket
import struct
from pathlib import Path
from typing import Final
from uuid import uuid4

from local import commands, java
from local.layout import Layout
from local.model import NotReady, Part, PortUse, Step
from local.ports import HOST
from local.settings import LocalSettings

NAME: Final = "kafka"
FORMAT: Final = "kafka-format"
MIB: Final = 1024 * 1024
API_VERSIONS: Final = 18
"""The request that a client begins with; a broker answers it to anybody."""

LOGGING: Final = """\
# Everything to standard output; supervisord keeps it in a file of bounded size.
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
logger.coordinator.name = org.apache.kafka.coordinator
logger.coordinator.level = WARN
logger.cleaner.name = org.apache.kafka.storage.internals.log.LogCleaner
logger.cleaner.level = WARN
"""


def properties(settings: LocalSettings, layout: Layout) -> dict[str, str]:
    """The broker's settings: the demo's, and what one small machine needs."""
    broker, controller = settings.port("kafka_port"), settings.port("kafka_controller_port")
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listeners": f"PLAINTEXT://{HOST}:{broker},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{broker}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(layout.kafka / "data"),
        # The demo's column.
        "num.partitions": "2",
        "default.replication.factor": "1",
        "log.retention.hours": "24",
        # One broker holds every replica of the internal topics too, and few partitions of them open few files.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "4",
        # A topic is made by `audience-ops topics create` with its own settings, never by a client's typing error.
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        # Of the heap, the cleaner would take 128 MiB for compaction at once.
        "log.cleaner.dedupe.buffer.size": str(16 * MIB),
        "log.segment.bytes": str(128 * MIB),
        # A broker that was killed reads its segments again before it answers.
        "num.recovery.threads.per.data.dir": "2",
        # Alone, it hands nothing over, and need not wait for a controller that is stopping with it.
        "controlled.shutdown.enable": "false",
    }


def classpath(layout: Layout) -> list[Path]:
    return sorted(layout.kafka_jars.glob("*.jar"))


def prepare(settings: LocalSettings, layout: Layout) -> None:
    """Write the settings, and format the log folder unless that is done."""
    layout.kafka.mkdir(exist_ok=True)
    lines = (f"{name}={value}" for name, value in properties(settings, layout).items())
    _properties_file(layout).write_text("\n".join(lines) + "\n")
    _logging_file(layout).write_text(LOGGING)
    for name in (NAME, FORMAT):
        java.write_options(layout, name, classpath(layout), may_write=name == NAME)
    if (layout.kafka / "data/meta.properties").exists():
        return
    cluster = _cluster_id()
    tool = _java(settings, layout, FORMAT, "kafka.tools.StorageTool", heap_mb=128)
    commands.run(
        [*tool, "format", "--ignore-formatted", "--cluster-id", cluster, "--config", str(_properties_file(layout))],
        folder=layout.kafka,
    )


def part(settings: LocalSettings, layout: Layout, needs: tuple[str, ...]) -> Part:
    port = settings.port("kafka_port")
    return Part(
        name=NAME,
        title="Kafka",
        command=(*_java(settings, layout, NAME, "kafka.Kafka", settings.kafka_heap_mb), str(_properties_file(layout))),
        probe=lambda: probe(port),
        needs=needs,
        address=f"{HOST}:{port}",
        ports=(PortUse(port, "kafka_port"), PortUse(settings.port("kafka_controller_port"), "kafka_controller_port")),
        stop_wait_s=java.STOP_WAIT_S,
    )


def step(settings: LocalSettings, layout: Layout) -> Step:
    """`prepare` as a step of the start."""
    return Step("kafka-files", "Kafka's files", lambda: prepare(settings, layout))


def probe(port: int) -> str:
    """Ask the broker which requests it understands: an open port alone says little about what is behind it."""
    client = b"local"
    body = struct.pack(">hhih", API_VERSIONS, 0, 1, len(client)) + client
    try:
        with socket.create_connection((HOST, port), timeout=3) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            answer = connection.recv(10)
    except OSError as error:
        raise NotReady(f"does not answer: {error}") from error
    if len(answer) < 10:
        raise NotReady("closed the connection without an answer")
    _size, correlation, fault = struct.unpack(">iih", answer)
    if correlation != 1 or fault != 0:
        raise NotReady(f"answered with error {fault}")
    return "answers"


def _java(settings: LocalSettings, layout: Layout, name: str, main: str, heap_mb: int) -> tuple[str, ...]:
    options = [
        f"-Xmx{heap_mb}m",
        "-Xms128m",  # the heap grows when it is needed
        "-XX:+UseSerialGC",  # of two cores, one collector's threads are enough
        *java.jit(settings),
        "-XX:+ExitOnOutOfMemoryError",  # supervisord starts it again; a broker without memory helps nobody
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={_logging_file(layout)}",
    ]
    return java.command(layout, name, options, classpath(layout), main)


def _properties_file(layout: Layout) -> Path:
    return layout.kafka / "server.properties"


def _logging_file(layout: Layout) -> Path:
    return layout.kafka / "log4j2.properties"


def _cluster_id() -> str:
    """A random UUID in Kafka's notation: 22 characters of URL-safe base64, not beginning with a dash."""
    while (text := base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text
