"""What the parts are told: memory, addresses, options, and how they are asked whether they are well."""

import os
import pwd
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest
import yaml

from local import java, privileges, services, status
from local.assembly import assemble
from local.flink import config, home
from local.kafka import part as kafka
from local.layout import LONGEST_SOCKET_PATH, Layout
from local.model import NotReady
from local.settings import ROOT, LocalSettings


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(ROOT, tmp_path)
    made.make()
    return made


@pytest.mark.parametrize("backend", ["hashmap", "rocksdb"])
def test_a_taskmanagers_memory_adds_up(layout: Layout, backend: str) -> None:
    settings = LocalSettings(state_backend=backend)
    written = config.configuration(settings, layout)
    sizes = {name: int(value.removesuffix("m")) for name, value in written.items() if str(value).endswith("m")}
    parts = [value for name, value in sizes.items() if name.startswith("taskmanager.memory") and ".max" not in name]
    assert sum(parts) == settings.taskmanager_memory_mb
    assert config.taskmanager_memory(settings).heap_mb >= 400


def test_flinks_file_is_what_was_meant(layout: Layout) -> None:
    settings = LocalSettings(port_offset=100, checkpoint_interval_ms=700)
    file = config.write(settings, layout) / "config.yaml"
    read = yaml.safe_load(file.read_text())
    assert read["rest.port"] == 8191
    assert read["execution.checkpointing.interval"] == "700 ms"
    assert "--add-opens=java.base/java.lang=ALL-UNNAMED" in read["env.java.opts.all"]
    assert read == config.configuration(settings, layout)


def test_everything_listens_on_this_machine_alone(layout: Layout) -> None:
    written = config.configuration(LocalSettings(), layout)
    hosts = {name: value for name, value in written.items() if "host" in name or "address" in name}
    assert set(hosts.values()) == {"127.0.0.1"}
    assert "0.0.0.0" not in str(kafka.properties(LocalSettings(), layout))  # noqa: S104  it is what must not be


def test_a_flink_home_holds_links_to_the_wheel_and_the_connector(layout: Layout) -> None:
    home.make(layout)
    root = home.folder(layout)
    names = {jar.name for jar in (root / "lib").iterdir() if jar.exists()}
    for start in ("flink-dist-", "flink-python-", "flink-sql-connector-kafka-"):
        assert [name for name in names if name.startswith(start)]
    assert not (root / "opt").is_symlink()
    made = root.stat().st_ino
    home.make(layout)
    assert root.stat().st_ino == made  # what runs may be using it
    (root / "lib/old.jar").symlink_to("/nowhere")
    home.make(layout)
    assert not (root / "lib/old.jar").is_symlink()
    assert home.jars(layout)[-1].name.startswith("flink-dist-")


class Broker(threading.Thread):
    """Answers one request with `answer`, or hangs up where it is empty."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(daemon=True)
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]

    def run(self) -> None:
        connection, _ = self._server.accept()
        with connection, self._server:
            [size] = struct.unpack(">i", connection.recv(4))
            connection.recv(size)
            connection.sendall(self._answer)


def test_a_broker_that_answers_is_healthy_and_no_other() -> None:
    def ask(answer: bytes) -> str:
        broker = Broker(answer)
        broker.start()
        return kafka.probe(broker.port)

    assert ask(struct.pack(">iih", 6, 1, 0)) == "answers"
    for answer in (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", struct.pack(">iih", 6, 1, 35)):
        with pytest.raises(NotReady):
            ask(answer)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
    with pytest.raises(NotReady, match="does not answer"):
        kafka.probe(port)


def test_services_get_their_addresses_and_the_callers_variables(layout: Layout) -> None:
    given = {
        "AUDIENCE_LOG_LEVEL": "DEBUG",
        "AEROSPIKE_HOSTS": "127.0.0.1:3000",
        "LAKE_URL": "s3://lake/here",
        "AWS_REGION": "eu-central-1",
        "AUDIENCE_KAFKA_BOOTSTRAP_SERVERS": "elsewhere:9092",
        "AUDIENCE_LOCAL_PORT_OFFSET": "5",
        "AUDIENCE_TEST_PLATFORM": "x",
        "PATH": "/bin",
    }
    env = services.environment(LocalSettings(port_offset=5), layout, given)
    assert env["AUDIENCE_LOG_LEVEL"] == "DEBUG"
    assert env["AEROSPIKE_HOSTS"] == "127.0.0.1:3000"
    assert env["LAKE_URL"] == "s3://lake/here"
    assert env["AWS_REGION"] == "eu-central-1"
    assert services.environment(LocalSettings(), layout, {})["LAKE_URL"] == str(layout.data / "lake")
    assert env["AUDIENCE_KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:9097"
    assert env["AUDIENCE_POSTGRES_DSN"] == "postgresql://audience:audience-local@127.0.0.1:15437/audience"
    assert not {"AUDIENCE_LOCAL_PORT_OFFSET", "AUDIENCE_TEST_PLATFORM", "PATH"} & set(env)


def test_every_part_has_its_own_name_and_ports(layout: Layout) -> None:
    parts = assemble(LocalSettings(), layout, {}).parts
    names = [part.name for part in parts]
    ports = [use.number for part in parts for use in part.ports]
    assert len(set(names)) == len(names)
    assert len(set(ports)) == len(ports)


def test_a_class_archive_is_asked_for_once_and_then_used(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path / "data")
    layout.make()
    jar = tmp_path / "a.jar"
    jar.touch()
    options = layout.run / "kafka.java-options"
    java.write_options(layout, "kafka", [jar])
    [new] = [line for line in options.read_text().splitlines() if "ArchiveClassesAtExit" in line]
    Path(new.strip('"').partition("=")[2]).write_text("classes")
    java.keep_archives(layout)
    java.write_options(layout, "kafka", [jar])
    assert "SharedArchiveFile" in options.read_text()
    os.utime(jar, (1, 1))
    java.write_options(layout, "kafka", [jar])
    assert "SharedArchiveFile" not in options.read_text()


def test_of_two_that_share_an_archive_one_writes_it(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path / "data")
    layout.make()
    java.write_options(layout, "two", [], archive="both", may_write=False)
    assert "Archive" not in (layout.run / "two.java-options").read_text()


def test_starts_are_counted_since_the_last_start_of_supervisord() -> None:
    log = textwrap.dedent("""\
        2026-01-01 10:00:00,000 INFO supervisord started with pid 1
        2026-01-01 10:00:01,000 INFO spawned: 'kafka' with pid 2
        2026-01-02 10:00:00,000 INFO supervisord started with pid 3
        2026-01-02 10:00:01,000 INFO spawned: 'kafka' with pid 4
        2026-01-02 10:00:02,000 WARN exited: kafka (terminated by SIGKILL; not expected)
        2026-01-02 10:00:03,000 INFO spawned: 'kafka' with pid 5
        2026-01-02 10:00:03,000 INFO spawned: 'postgres' with pid 6
        """)
    assert status.spawns(log) == {"kafka": 2, "postgres": 1}


def test_memory_is_of_the_whole_tree() -> None:
    child = "import time; held = bytearray(50_000_000); print(flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:  # noqa: S603
        assert process.stdout is not None
        process.stdout.readline()
        family = psutil.Process(process.pid).children(recursive=True)
        assert status.memory_of(process.pid) > 50_000_000 > status.memory_of(process.pid, children=False)
        for each in (*family, process):
            each.kill()


def test_a_socket_with_a_long_path_moves_to_a_private_folder(tmp_path: Path) -> None:
    deep = Layout(tmp_path, tmp_path / ("d" * 60) / ("e" * 60))
    deep.make()
    assert len(os.fsencode(deep.supervisor_socket)) <= LONGEST_SOCKET_PATH
    assert deep.supervisor_socket.parent.stat().st_mode & 0o077 == 0
    deep.supervisor_socket.parent.chmod(0o755)
    with pytest.raises(PermissionError, match="this account alone"):
        deep.make()
    deep.supervisor_socket.parent.rmdir()


def test_what_is_tied_dies_with_its_parent_even_when_that_is_killed() -> None:
    command = [*privileges.tied(), "bash", "-c", "echo $$; exec sleep 60"]
    parent = f"import subprocess; subprocess.run({command!r})"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert psutil.pid_exists(pid)
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_below_a_closed_folder_the_account_reads_but_writes_only_its_own(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    secret, own = tmp_path / "program", tmp_path / "own"
    secret.write_text("read me")
    own.mkdir()
    account = privileges.server_account()
    assert account is not None
    os.chown(own, account.pw_uid, account.pw_gid)
    prefix = privileges.unprivileged(account, [secret, own])

    def done(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*prefix, "sh", "-c", script], capture_output=True, text=True, check=False)  # noqa: S603

    assert done("id -u").stdout.strip() == str(account.pw_uid)
    assert done(f"test -r {secret} && cat {secret}").stdout == "read me"
    assert done(f"touch {own}/x").returncode == 0
    assert done(f"touch {tmp_path}/x").returncode != 0
    assert done(f"echo more >> {secret}").returncode != 0
    assert done("grep -c '^CapEff:.0000000000000004$' /proc/self/status").stdout.strip() == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_where_all_is_in_reach_no_capability_is_kept() -> None:
    account = pwd.getpwnam("nobody")
    prefix = privileges.unprivileged(account, [Path("/usr/bin/env")])
    command = [*prefix, "cat", "/proc/self/status"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    assert "CapEff:\t0000000000000000" in shown


def test_who_is_not_root_gives_up_nothing() -> None:
    assert privileges.unprivileged(None, [Path("/")]) == ()
