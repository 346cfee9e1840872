"""Find out before a start who holds a port."""

import errno
import random
import socket
import time
from dataclasses import dataclass

import psutil

from connectors.errors import TicklakeError
from ticklake.local.processes import Port

LOOPBACK = "127.0.0.1"
_CHOSEN = (20_000, 32_000)


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
    """A port that nothing listens on right now.

    It lies below the range from which systems number outgoing connections: one of those could
    take the port while its server is being restarted.
    """
    while True:
        port = random.randrange(*_CHOSEN)  # noqa: S311 - no secret
        if is_free(port):
            return port


def holder(port: int) -> Holder:
    """Who listens on the port, or else who has a connection from it."""
    try:
        found = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return Holder(None, "")
    held = [c for c in found if getattr(c.laddr, "port", None) == port and c.pid is not None]
    held.sort(key=lambda c: c.status != psutil.CONN_LISTEN)
    for connection in held:
        try:
            return Holder(connection.pid, psutil.Process(connection.pid).name())
        except psutil.NoSuchProcess:
            continue
    return Holder(None, "")


def require_free(title: str, ports: tuple[Port, ...], patience_seconds: float = 0) -> None:
    """Refuse a start that would fail on a taken port.

    Args:
        title: whose ports they are.
        ports: what has to be free.
        patience_seconds: how long their last holder may take to let go of them.

    Raises:
        TicklakeError: names the port, its holder and the setting that moves it.
    """
    deadline = time.monotonic() + patience_seconds
    for port in ports:
        while not is_free(port.number):
            if time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise TicklakeError(
                f"port {port.number} ({title}) is taken by {holder(port.number)}; free it or set "
                f"TICKLAKE_LOCAL__{port.setting.upper()} to another port"
            )
