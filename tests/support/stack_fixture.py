"""A whole stack of real servers for integration tests: own folder, free ports."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from ticklake.local import stack
from ticklake.local.ports import any_free, is_free
from ticklake.settings import LocalSettings, Settings, load

_PORTS = ("postgres_port", "kafka_port", "kafka_controller_port", "flink_port", "trino_port")


def temporary_settings(tmp: Path, **local: object) -> Settings:
    """Settings of a stack in `tmp` on ports that are free now.

    Args:
        tmp: an empty folder; the stack's home is made in it.
        local: more fields of `LocalSettings`.

    Returns:
        Settings that leave every other stack on the machine alone.
    """
    ports: dict[str, int] = {}
    while len(set(ports.values())) < len(_PORTS):
        ports = {name: any_free() for name in _PORTS}
    given = {"home": tmp / "home"} | ports | local
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
        assert not [pid for pid in pids if _alive(pid)]
        ports = [port for part in stack.PARTS for port in part.ports(settings.local)]
        assert all(is_free(port.number) for port in ports)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
