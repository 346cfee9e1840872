"""Between a client and a REST catalog: refuses commits by a status, or swallows the answer."""

import threading
from collections import deque
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal, Self

_TIMEOUT_SECONDS = 30

Plan = int | Literal["swallow"]


class RestProxy:
    """Passes everything on, but for as many commits as faults are planned.

    A number is the status with which a commit is answered: 500 and 503 without having been made,
    502 and 504 behind one that was made, as a gateway does. `swallow` makes it and cuts the line.
    """

    def __init__(self, target: int) -> None:
        """Listen on a free port; `target` is the server's."""
        self.plans: deque[Plan] = deque()
        self.met: list[Plan] = []
        self._server = _Server(self, target)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        """Serve."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()

    def next_plan(self, path: str) -> Plan | None:
        """What is planned for this request."""
        commits = "/tables/" in path or path.endswith("/transactions/commit")
        if not commits or not self.plans:
            return None
        plan = self.plans.popleft()
        self.met.append(plan)
        return plan


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: RestProxy, target: int) -> None:
        self.proxy = proxy
        self.target = target
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        plan = self.server.proxy.next_plan(self.path) if self.command == "POST" else None
        if plan in {500, 503}:
            self._answer(int(plan), b"{}", [])
            return
        answer = self._ask(body)
        if answer is None or plan == "swallow":
            self.close_connection = True  # what a client sees of a server that is gone
        elif plan is not None:
            self._answer(plan, b"{}", [])
        else:
            self._answer(*answer)

    def _ask(self, body: bytes) -> tuple[int, bytes, list[tuple[str, str]]] | None:
        server = HTTPConnection("127.0.0.1", self.server.target, timeout=_TIMEOUT_SECONDS)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            server.request(self.command, self.path, body, headers)
            with server.getresponse() as answer:
                return answer.status, answer.read(), answer.getheaders()
        except (OSError, HTTPException):
            return None
        finally:
            server.close()

    def _answer(self, status: int, content: bytes, headers: list[tuple[str, str]]) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's
        """Nothing."""
