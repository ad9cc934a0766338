"""A port in use is named with its owner and with what to set."""

import os
import socket
from collections.abc import Iterator

import pytest

from local import ports
from local.model import PortUse


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_is_refused_with_its_owner_and_the_settings_that_help(taken: int) -> None:
    with pytest.raises(ports.PortInUse) as refused:
        ports.require_free("Kafka", [PortUse(taken, "kafka_port")])
    said = str(refused.value)
    for part in (str(taken), "Kafka", f"pid {os.getpid()}", "AUDIENCE_LOCAL_KAFKA_PORT", "AUDIENCE_LOCAL_PORT_OFFSET"):
        assert part in said


def test_a_server_on_every_address_holds_the_port_too() -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))  # noqa: S104  that is the case
        server.listen()
        assert not ports.is_free(server.getsockname()[1])


def test_a_port_is_free_when_its_server_is_gone(taken: int) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        number = server.getsockname()[1]
    ports.require_free("Kafka", [PortUse(number, "kafka_port")])


def test_an_owner_that_cannot_be_seen_and_one_with_a_long_command() -> None:
    use = PortUse(1, "kafka_port")
    assert "another account" in ports.message("Kafka", use, None)
    assert len(ports.message("Kafka", use, ports.Owner(1, "root", "java " * 500))) < 400
