"""Whether a port is free, and if not, whose it is."""

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from local.model import PortUse
from local.settings import variable

HOST = "127.0.0.1"


class PortInUse(Exception):
    """Somebody else listens where a part wants to; the message names both and says what to set."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that listens on a port."""

    pid: int
    user: str
    command: str


def is_free(port: int) -> bool:
    """True where a server could listen on 127.0.0.1:port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        # As servers do: connections that are only dying do not count.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def owner_of(port: int) -> Owner | None:
    """Who listens on the port; None where the system does not tell (another account's process)."""
    for connection in psutil.net_connections("tcp"):
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        if listens and connection.pid:
            try:
                process = psutil.Process(connection.pid)
                command = " ".join(process.cmdline()) or process.name()
                return Owner(connection.pid, process.username(), command)
            except psutil.NoSuchProcess:
                return None
    return None


def message(part: str, port: PortUse, owner: Owner | None) -> str:
    """What to tell the one who asked for `part`."""
    who = "a process of another account"
    if owner is not None:
        command = owner.command if len(owner.command) <= 100 else owner.command[:97] + "..."
        who = f"pid {owner.pid} of {owner.user}: {command}"
    return (
        f"port {port.number}, which {part} needs, is in use by {who}. "
        f"Stop that, or set {variable(port.setting)} to another port, "
        f"or {variable('port_offset')}=N to move all of them."
    )


def require_free(part: str, ports: Iterable[PortUse]) -> None:
    """Raise PortInUse for the first port that is taken."""
    for port in ports:
        if not is_free(port.number):
            raise PortInUse(message(part, port, owner_of(port.number)))
