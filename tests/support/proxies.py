"""Between a client and its server: holds a commit, swallows its answer, cuts the line."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from ticklake.local.ports import any_free

_COMMIT = b"UPDATE iceberg_tables"
_DONE = b"UPDATE 1"
_BLOCK = 65_536
_HOLD_SECONDS = 60.0

Plan = Literal["pass", "hold", "swallow", "silence"]


class DatabaseProxy:
    """Passes everything on to PostgreSQL, until it is armed.

    hold: the next commit of a table waits before it reaches the server, until `disarm`.
    swallow: the next commit is made, and the line is cut before the client hears of it.
    silence: nothing passes, and no line is cut.
    """

    def __init__(self, target: int) -> None:
        """Choose a port; `target` is the server's."""
        self.port = any_free()
        self.hit = threading.Event()
        """The armed fault has happened."""
        self._target = target
        self._plan: Plan = "pass"
        self._drops = False
        self._table = b""
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", self.port))

    def __enter__(self) -> Self:
        """Listen."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listen no more; lines that are open end with their ends."""
        self.disarm()
        self._listener.close()

    def arm(self, plan: Plan, table: str = "") -> None:
        """Do this once, to a commit of that table or of any (silence: until `disarm`)."""
        self.hit.clear()
        self._table = table.encode()
        self._released.clear()
        self._plan = plan

    def disarm(self, *, drop: bool = False) -> None:
        """Pass everything on from now on; also what is held, unless it is to be dropped."""
        self._plan = "pass"
        self._drops = drop
        self._released.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            line = _Line(self, client, server)
            threading.Thread(target=line.to_server, daemon=True).start()
            threading.Thread(target=line.to_client, daemon=True).start()

    def meet(self, data: bytes) -> bool:
        """Something comes by; says whether its answer is to be swallowed."""
        with self._lock:
            if _COMMIT not in data or self._table not in data:
                return False
            plan, self._plan = self._plan, "pass"
        if plan == "hold":
            self.hit.set()
            self._released.wait(_HOLD_SECONDS)
            if self._drops:
                raise ConnectionAbortedError
        return plan == "swallow"

    def wait_in_silence(self) -> None:
        """Return when words pass again."""
        if self._plan == "silence":
            self.hit.set()
            self._released.wait(600)


class _Line:
    """One connection."""

    def __init__(self, proxy: DatabaseProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._swallows = False

    def to_server(self) -> None:
        with suppress(OSError):
            while data := self._client.recv(_BLOCK):
                self._proxy.wait_in_silence()
                self._swallows = self._proxy.meet(data) or self._swallows
                self._server.sendall(data)
        self._cut()

    def to_client(self) -> None:
        heard = b""
        with suppress(OSError):
            while data := self._server.recv(_BLOCK):
                self._proxy.wait_in_silence()
                if self._swallows:
                    heard += data
                    if _DONE in heard:
                        self._proxy.hit.set()
                        break
                    continue
                self._client.sendall(data)
        self._cut()

    def _cut(self) -> None:
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
