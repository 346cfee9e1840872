"""Find out before a start who holds a port."""

import errno
import socket
from dataclasses import dataclass

import psutil

from connectors.errors import TicklakeError
from ticklake.local.processes import Port

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Holder:
    """Who listens on a port, as far as the system tells."""

    pid: int | None
    name: str

    def __str__(self) -> str:
        """`pid 123 java`, or that it is another user's."""
        return f"pid {self.pid} {self.name}" if self.pid else "a process of another user"


def is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now."""
    with socket.socket() as probe:
        # without it a port whose last connections linger in TIME_WAIT would look taken
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    # some systems let a bind to one address pass although all addresses are listened on
    return not answers(port)


def answers(port: int) -> bool:
    """Whether something accepts connections on the loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def any_free() -> int:
    """A port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def holder(port: int) -> Holder:
    """Who listens on the port."""
    try:
        found = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return Holder(None, "")
    for connection in found:
        if connection.status != psutil.CONN_LISTEN or connection.pid is None:
            continue
        if getattr(connection.laddr, "port", None) != port:
            continue
        try:
            return Holder(connection.pid, psutil.Process(connection.pid).name())
        except psutil.NoSuchProcess:
            continue
    return Holder(None, "")


def require_free(title: str, ports: tuple[Port, ...]) -> None:
    """Refuse a start that would fail on a taken port.

    Raises:
        TicklakeError: names the port, its holder and the setting that moves it.
    """
    for port in ports:
        if not is_free(port.number):
            raise TicklakeError(
                f"port {port.number} ({title}) is taken by {holder(port.number)}; free it or set "
                f"TICKLAKE_LOCAL__{port.setting.upper()} to another port"
            )
