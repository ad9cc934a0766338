"""supervisord's configuration file, from the parts.

Every program waits for `local` to start it (its needs are not supervisord's business), comes back when it dies, and
dies with supervisord.
"""

import hashlib
import json
import os
import shlex
from collections.abc import Mapping

from local.layout import Layout
from local.model import Part, Platform
from local.privileges import tied

LOG_BYTES = 10_000_000
LOG_BACKUPS = 1
STARTS_TRIED = 30
"""After so many starts that failed in a row supervisord gives a program up. It waits one second more after each."""


class CannotBeWritten(Exception):
    """A value that supervisord's file has no notation for."""


def render(platform: Platform, layout: Layout) -> str:
    """The whole file. It changes with every setting, those that stand in the parts' own files too."""
    digest = hashlib.sha256(json.dumps(platform.fingerprint, sort_keys=True).encode()).hexdigest()
    programs = (_program(part, layout) for part in platform.parts)
    return "\n".join([f"; settings {digest}", _supervisord(layout), _interface(layout), *programs])


def _supervisord(layout: Layout) -> str:
    values = {
        "logfile": str(layout.log_of("supervisord")),
        "logfile_maxbytes": str(LOG_BYTES),
        "logfile_backups": str(LOG_BACKUPS),
        "loglevel": "info",
        "pidfile": str(layout.run / "supervisord.pid"),
        "directory": str(layout.root),
        "childlogdir": str(layout.logs),
        "identifier": "audience-local",
    }
    if os.geteuid() == 0:
        values["user"] = "root"  # said outright, or it warns of what `make up` as root means
    return _section("supervisord", values)


def _interface(layout: Layout) -> str:
    socket = _section("unix_http_server", {"file": str(layout.supervisor_socket), "chmod": "0700"})
    factory = "supervisor.rpcinterface:make_main_rpcinterface"
    return socket + "\n" + _section("rpcinterface:supervisor", {"supervisor.rpcinterface_factory": factory})


def _program(part: Part, layout: Layout) -> str:
    if "%" in str(layout.logs):  # supervisor expands this one twice
        raise CannotBeWritten(f"the data folder's path holds a percent sign: {layout.data}. Use another folder.")
    values = {
        "command": shlex.join([*part.become, *tied(part.death_signal), *part.command]),
        "directory": str(layout.root),
        "environment": _environment(part.environment),
        "autostart": "false",
        "autorestart": "true",
        "startsecs": "1",
        "startretries": str(STARTS_TRIED),
        "stopsignal": part.stop_signal,
        "stopwaitsecs": str(part.stop_wait_s),
        "stopasgroup": "true" if part.stop_group else "false",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(layout.log_of(part.name)),
        "stdout_logfile_maxbytes": str(LOG_BYTES),
        "stdout_logfile_backups": str(LOG_BACKUPS),
    }
    return _section(f"program:{part.name}", values)


def _environment(values: Mapping[str, str]) -> str:
    """``A="b",C='d'``. supervisor knows no escape in a quoted value, and strips quotes from its ends."""
    return ",".join(f"{name}={_quoted(name, value)}" for name, value in sorted(values.items()))


def _quoted(name: str, value: str) -> str:
    quotes = [quote for quote in "\"'" if quote not in value]
    if not quotes or value != value.strip("\"'"):
        raise CannotBeWritten(f"the variable {name} holds quotes that supervisord cannot be given: leave them out")
    return f"{quotes[0]}{value}{quotes[0]}"


def _section(name: str, values: Mapping[str, str]) -> str:
    """A line break in a value would begin another setting; a percent sign is supervisor's own."""
    lines = [f"[{name}]"]
    for key, value in values.items():
        if any(each in value for each in ("\n", "\r", " ;", " #")):
            raise CannotBeWritten(
                f"{name}: {key} holds a line break, or a space with `;` or `#` behind it, which supervisord would not "
                f"read as meant: {value!r}. Use another folder or value."
            )
        lines.append(f"{key}={value.replace('%', '%%')}")
    return "\n".join(lines) + "\n"
