"""Asks supervisord about programs, and to start and stop them, over its Unix socket."""

import http.client
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from supervisor.xmlrpc import Faults, SupervisorTransport

RUNNING: Final = "RUNNING"
STARTING: Final = frozenset({"STARTING", "BACKOFF"})
_NO_WAIT: Final = False
STOPPED: Final = frozenset({"STOPPED", "EXITED", "FATAL"})


class SupervisorAway(Exception):
    """No supervisord answers on the socket."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program as supervisord sees it. `pid` is 0 where it does not run."""

    name: str
    state: str
    pid: int
    uptime_s: int
    said: str

    @property
    def stopped(self) -> bool:
        return self.state in STOPPED


class Supervisor:
    """A client. Each call raises SupervisorAway where nobody answers; not shared between threads."""

    def __init__(self, socket: Path) -> None:
        # The address is of no meaning to the transport, which goes to the socket, but must look like one.
        self._transport = SupervisorTransport(None, None, f"unix://{socket}")
        proxy: Any = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=self._transport)
        self._api = proxy.supervisor

    def programs(self) -> Mapping[str, Program]:
        return {
            found["name"]: Program(
                name=found["name"],
                state=found["statename"],
                pid=found["pid"],
                uptime_s=max(0, found["now"] - found["start"]) if found["pid"] else 0,
                said=found["spawnerr"] or found["description"],
            )
            for found in self._call("getAllProcessInfo")
        }

    def pid(self) -> int:
        pid: int = self._call("getPID")
        return pid

    def start(self, name: str) -> None:
        """Begin to start it; what runs already stays."""
        self._call("startProcess", name, _NO_WAIT, accept=Faults.ALREADY_STARTED)

    def stop(self, name: str, *, wait: bool = False) -> None:
        """Begin to stop it, or with `wait` stop it."""
        self._call("stopProcess", name, wait, accept=Faults.NOT_RUNNING)

    def shutdown(self) -> None:
        """Stop every program, then supervisord itself. Returns before that is done."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: object, accept: int | None = None) -> Any:
        try:
            return getattr(self._api, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in (accept, Faults.SHUTDOWN_STATE):
                return None
            raise
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise SupervisorAway(str(error)) from error
        finally:
            self._transport.close()  # or a connection would stay open for as long as nobody collects it
