"""PostgreSQL as a part: made once, started with every setting on its command line, never as root."""

import os
import pwd
import secrets
import shutil
from pathlib import Path
from typing import Final

from local.commands import CommandFailed, run
from local.layout import Layout
from local.model import NotReady, Part, PortUse, Step
from local.ports import HOST
from local.privileges import server_account, unprivileged
from local.settings import LocalSettings

NAME: Final = "postgres"
DATABASE: Final = "audience"

SETTINGS: Final = {
    # The demo's sizes.
    "shared_buffers": "128MB",
    "effective_cache_size": "256MB",
    # The demo's 20 are for one pod of each service behind a pooler's limits. Here three services keep pools of up to
    # 10 each, and migrations, psql and the tests come on top.
    "max_connections": "60",
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # TCP alone: a socket's path would have to be short
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # every query here is short; compiling one costs more than it saves
    "max_wal_size": "256MB",
}


def dsn(settings: LocalSettings) -> str:
    """The address of the platform's database, with its password."""
    password = settings.postgres_password.get_secret_value()
    return f"postgresql://{DATABASE}:{password}@{HOST}:{settings.port('postgres_port')}/{DATABASE}"


def folder(layout: Layout) -> Path:
    """The cluster's folder. It lies in one of its own account's, which initdb can write to."""
    return layout.postgres / "data"


def prepare(settings: LocalSettings, layout: Layout) -> None:
    """Make the cluster, its role and its database, unless they are there. Broken off, it begins anew."""
    account = server_account()
    layout.postgres.mkdir(exist_ok=True)
    if account is not None:
        _give(layout.postgres, account)
    if folder(layout).exists():
        return
    new = layout.postgres / "new"
    password_file = layout.postgres / "password"
    shutil.rmtree(new, ignore_errors=True)
    # The superuser's password is thrown away: nobody logs in as it.
    password_file.write_text(secrets.token_hex(16))
    if account is not None:
        os.chown(password_file, account.pw_uid, account.pw_gid)
    become = _become(account, layout)
    try:
        initdb = ["--username=postgres", "--auth=scram-sha-256", f"--pwfile={password_file}", "--no-sync"]
        run(
            [str(layout.postgres_bin / "initdb"), *initdb, "--encoding=UTF8", "--locale=C", f"--pgdata={new}"],
            folder=layout.postgres,
            become=become,
        )
        single = [str(layout.postgres_bin / "postgres"), "--single", "-j", "-D", str(new), "postgres"]
        run(single, folder=layout.postgres, become=become, given=_setup_sql(settings))
    finally:
        password_file.unlink(missing_ok=True)
    new.rename(folder(layout))


def part(settings: LocalSettings, layout: Layout, needs: tuple[str, ...]) -> Part:
    """The server. When its parent dies it stops at once and recovers from its log at the next start."""
    port = settings.port("postgres_port")
    options = [item for name, value in SETTINGS.items() for item in ("-c", f"{name}={value}")]
    server = [str(layout.postgres_bin / "postgres"), "-D", str(folder(layout)), "-p", str(port), *options]

    def probe() -> str:
        try:
            return run(
                [str(layout.postgres_bin / "pg_isready"), "-h", HOST, "-p", str(port), "-d", DATABASE, "-t", "2"],
                folder=layout.data,
                within_s=5,
            ).strip()
        except CommandFailed as error:
            raise NotReady("does not accept connections (yet)") from error

    return Part(
        name=NAME,
        title="PostgreSQL",
        command=tuple(server),
        probe=probe,
        needs=needs,
        address=f"{HOST}:{port}",
        ports=(PortUse(port, "postgres_port"),),
        become=_become(server_account(), layout),
        # Fast shutdown: TERM would wait for the clients to leave.
        stop_signal="INT",
        stop_wait_s=20,
        death_signal="QUIT",
    )


def step(settings: LocalSettings, layout: Layout) -> Step:
    """`prepare` as a step of the start."""
    return Step("postgres-files", "PostgreSQL's files", lambda: prepare(settings, layout))


def _become(account: pwd.struct_passwd | None, layout: Layout) -> tuple[str, ...]:
    return unprivileged(account, (layout.postgres_bin / "postgres", layout.data))


def _give(path: Path, account: pwd.struct_passwd) -> None:
    """Hand the folder over. What lies in it belongs to the account already, unless another one ran it before."""
    for each in (path, *path.rglob("*")):
        if each.lstat().st_uid != account.pw_uid:
            os.chown(each, account.pw_uid, account.pw_gid, follow_symlinks=False)


def _setup_sql(settings: LocalSettings) -> str:
    """In single-user mode with -j a command ends with a semicolon and an empty line."""
    password = settings.postgres_password.get_secret_value().replace("'", "''")
    return f"CREATE ROLE {DATABASE} LOGIN PASSWORD '{password}';\n\nCREATE DATABASE {DATABASE} OWNER {DATABASE};\n\n"
