"""A whole stack of real servers for integration tests: own folder, free ports."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from ticklake.local import processes, stack
from ticklake.local.ports import any_free, is_free
from ticklake.settings import LocalSettings, Settings, load

_PORTS = ("postgres_port", "kafka_port", "kafka_controller_port", "flink_port", "trino_port")


def temporary_settings(**local: object) -> Settings:
    """Settings of a stack in a new folder on ports that are free now.

    The folder is not pytest's: another run of pytest makes all of pytest's folders private to the
    user, and as root PostgreSQL runs as another.

    Args:
        local: more fields of `LocalSettings`.

    Returns:
        Settings that leave every other stack on the machine alone.
    """
    ports: dict[str, int] = {}
    while len(set(ports.values())) < len(_PORTS):
        ports = {name: any_free() for name in _PORTS}
    given = {"home": Path(tempfile.mkdtemp(prefix="ticklake-")) / "home"} | ports | local
    return load(local=LocalSettings.model_validate(given))


def environment(settings: Settings) -> dict[str, str]:
    """The same stack for a command that is started as a process."""
    given = settings.local.model_dump(exclude_defaults=True) | {"home": settings.local.home}
    return {f"TICKLAKE_LOCAL__{name.upper()}": str(value) for name, value in given.items()}


@contextmanager
def running_stack(settings: Settings) -> Iterator[Settings]:
    """The stack is up inside, and nothing of it is left behind.

    Yields:
        The settings again, now with the generated password.
    """
    try:
        stack.up(settings)
        yield load(local=settings.local)
    finally:
        pids = [one.pid for one in stack.status(settings) if one.pid]
        stack.down(settings)
        processes.reap()  # those that a command stopped, in a process of its own
        assert not [pid for pid in pids if _alive(pid)]
        ports = [port for part in stack.PARTS for port in part.ports(settings.local)]
        assert all(is_free(port.number) for port in ports)
    shutil.rmtree(settings.local.home.parent)  # after a fault it stays, for its logs


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
