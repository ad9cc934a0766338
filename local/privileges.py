"""How a command is started so that it cannot outlive its parent, and, for PostgreSQL, without root's rights.

`setpriv` (util-linux) does both and then becomes the command itself, so that the process id, its signals and its
parent-death signal are the command's own.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ACCOUNTS: Final = ("postgres", "nobody")
"""Whom a server becomes that refuses to run as root: the first that the machine has."""
PASS_THROUGH: Final = "dac_read_search"  # noqa: S105  a capability, not a password


class CannotDropPrivileges(Exception):
    """Root's rights cannot be given up in a way that lets the server reach its files."""


def tied(signal: str = "KILL") -> tuple[str, ...]:
    """A prefix: the command gets `signal` when the process that started it dies, however that dies."""
    return (_setpriv(), "--pdeathsig", signal)


def server_account() -> pwd.struct_passwd | None:
    """The account for servers that refuse to be root; None where we are not root, and so need none."""
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise CannotDropPrivileges(f"run as root, PostgreSQL needs an account to run under: make one named {ACCOUNTS[0]}")


def unprivileged(account: pwd.struct_passwd | None, reach: Sequence[Path]) -> tuple[str, ...]:
    """A prefix that turns root into `account`, which must be able to read all of `reach`; empty where it is None.

    A checkout below a folder that only root may enter (/root, `mktemp -d`) is out of the account's reach. Then the
    process keeps one capability, to pass through and read whatever the permissions say; it can write to nothing
    but what is its own, and to become root again is as impossible as without.
    """
    if account is None:
        return ()
    plain = (*_become(account), "--inh-caps", "-all")
    if _reaches(plain, reach):
        return plain
    keep = ("--inh-caps", f"-all,+{PASS_THROUGH}", "--ambient-caps", f"+{PASS_THROUGH}")
    # Without this bit access(2), by which PostgreSQL looks for its own program, answers as if the capability were not.
    capable = (*_become(account), *keep, "--securebits", "+no_setuid_fixup")
    if _reaches(capable, reach):
        return capable
    raise CannotDropPrivileges(
        f"the account {account.pw_name}, under which PostgreSQL runs when started by root, cannot reach "
        f"{reach[0]}, and this system does not let it keep the capability CAP_{PASS_THROUGH.upper()}. Move the "
        f"checkout and its data folder to where everybody may enter, or start the platform as another account."
    )


def _become(account: pwd.struct_passwd) -> tuple[str, ...]:
    ids = ("--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups")
    return (_setpriv(), *ids, "--no-new-privs")


def _reaches(prefix: tuple[str, ...], paths: Sequence[Path]) -> bool:
    """Whether a process so started can read the paths. Tried, since no table of permissions tells as surely."""
    tries = (subprocess.run([*prefix, "test", "-r", str(path)], capture_output=True, check=False) for path in paths)
    return all(done.returncode == 0 for done in tries)


def _setpriv() -> str:
    found = shutil.which("setpriv") or shutil.which("setpriv", path="/usr/bin:/bin")
    if found is None:
        raise CannotDropPrivileges("setpriv is not there: install util-linux (`make setup` does)")
    return found
