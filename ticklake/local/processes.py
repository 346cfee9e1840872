"""Start, watch and end servers as detached processes that outlive the command."""

import hashlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Literal

import psutil

from connectors.errors import TicklakeError, UnavailableError

_POLL_SECONDS = 0.1
_KILL_SECONDS = 5.0
_SAME_START_SECONDS = 1.5
_LOG_LIMIT_BYTES = 64 << 20
_TAIL_BYTES = 64 << 10
_TELLING = re.compile(r"Caused by|Invalid|Exception:|Error:|\b(FATAL|PANIC)\b|error:")

# Held so that a server that dies while this process lives is reaped, not left as a zombie.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Port:
    """A loopback port that a server listens on, and the setting that moves it."""

    number: int
    setting: str


@dataclass(frozen=True)
class Server:
    """All it takes to run one server."""

    name: str
    title: str
    command: tuple[str, ...]
    ready: Callable[[], bool] = field(compare=False)
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    passing_options: tuple[str, ...] = ()
    """JVM options that do not change what the server does."""
    patience_seconds: float = 90.0
    settled_by: tuple[Path, ...] = ()
    """Files whose content, with the command, makes this start the same as another."""

    def fingerprint(self) -> str:
        """Tells whether a running server was started with these settings."""
        mark = hashlib.sha256("\0".join(self.command).encode())
        for file in self.settled_by:
            mark.update(file.read_bytes())
        return mark.hexdigest()[:16]


@dataclass(frozen=True)
class Running:
    """What is remembered of a started server, in `<home>/run/NAME.json`."""

    pid: int
    started: float
    """Seconds between the machine's boot and the start: moving the clock does not change it."""
    fingerprint: str


def log_file(home: Path, name: str) -> Path:
    """Where a server's output goes."""
    return home / "logs" / f"{name}.log"


def recall(home: Path, name: str) -> Running | None:
    """What was remembered of the server's last start, if anything readable."""
    file = _record(home, name)
    try:
        return Running(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):  # cut off by a crash: no pid can be trusted
        file.unlink()
        return None


def process_of(running: Running | None) -> psutil.Process | None:
    """The live process of a record; None if it is gone or its pid went to another process."""
    if running is None:
        return None
    child = _children.get(running.pid)
    if child is not None and child.poll() is not None:
        _children.pop(running.pid, None)
        return None
    try:
        process = psutil.Process(running.pid)
        if abs(_since_boot(process) - running.started) > _SAME_START_SECONDS:
            return None
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None


def reap() -> None:
    """Let go of the servers that this process has started and that have ended since."""
    for pid, child in list(_children.items()):  # a copy: servers start side by side, in threads
        if child.poll() is not None:
            _children.pop(pid, None)


def start(server: Server, home: Path) -> psutil.Process:
    """Start detached: own session, no terminal, output to its log file."""
    reap()
    log = log_file(home, server.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    identity: dict[str, Any] = (
        {} if server.user is None else {"user": server.user, "group": server.user}
    )
    if server.user is not None:
        identity["extra_groups"] = []
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 - the command is made by this package
            (server.command[0], *server.passing_options, *server.command[1:]),
            cwd=server.cwd,
            env=dict(os.environ) | dict(server.env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **identity,
        )
    _children[child.pid] = child
    process = psutil.Process(child.pid)
    running = Running(child.pid, _since_boot(process), server.fingerprint())
    record = _record(home, server.name)
    record.parent.mkdir(parents=True, exist_ok=True)
    fresh = record.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(running)))
    fresh.replace(record)
    return process


def wait_ready(server: Server, home: Path, given_up: Event) -> None:
    """Return when the server answers, or when the command was given up.

    Raises:
        UnavailableError: it died or stayed silent; the message quotes its log.
    """
    deadline = time.monotonic() + server.patience_seconds
    while not server.ready():
        if given_up.wait(_POLL_SECONDS):
            return
        if process_of(recall(home, server.name)) is None:
            raise UnavailableError(f"{server.title} ended while starting{_quote(home, server)}")
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"{server.title} did not answer within {server.patience_seconds:.0f} s"
                f"{_quote(home, server)}"
            )


def stop(
    home: Path,
    name: str,
    asking: signal.Signals = signal.SIGTERM,
    patience_seconds: float = 20,
    family_seconds: float = 2,
) -> Literal["absent", "ended", "killed"]:
    """End a server that this package started, with all that it started.

    Args:
        home: the stack's home.
        name: the server.
        asking: the signal on which it shuts down in order.
        patience_seconds: after that it is killed.
        family_seconds: after its end, what it started has that long.

    Returns:
        Whether it was there, and whether it ended when it was asked to.

    Raises:
        TicklakeError: it survived a kill.
    """
    process = process_of(recall(home, name))
    if process is None:
        _record(home, name).unlink(missing_ok=True)
        return "absent"
    family = [process, *_descendants(process)]
    _signal(process, asking)
    ended = not _wait_gone([process], patience_seconds)
    # also what it started while it ended, and what lost its parent
    family += _session(process.pid)
    left = _wait_gone(family, family_seconds if ended else 0)
    for member in left:
        _signal(member, signal.SIGKILL)
    if stuck := _wait_gone(left, _KILL_SECONDS):
        raise TicklakeError(
            f"{name} (pid {stuck[0].pid}) does not end; end it by hand, then run the command again"
        )
    _record(home, name).unlink(missing_ok=True)
    return "killed" if left else "ended"


def resident_mb(process: psutil.Process) -> float:
    """Memory of the process and what it started, in MB.

    Where the system tells, a page that several share (PostgreSQL's buffers) counts once.
    """
    return sum(map(_resident, (process, *_descendants(process)))) / 1e6


def tail(file: Path, lines: int) -> list[str]:
    """The last lines of a log, without reading all of it."""
    if not file.exists():
        return []
    with file.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        size = stream.tell()
        block = _TAIL_BYTES
        while True:
            begin = max(0, size - block)
            stream.seek(begin)
            found = stream.read().decode(errors="replace").splitlines()
            if begin == 0 or len(found) > lines:
                return found[-lines:] if lines else []
            block *= 4


def _quote(home: Path, server: Server) -> str:
    log = log_file(home, server.name)
    lines = [line.strip() for line in tail(log, 60) if line.strip()]
    telling = [line for line in lines if _TELLING.search(line)]
    said = (telling or lines or ["it wrote nothing"])[-1]
    return f": {said[:300]} (log: {log})"


def _resident(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    except psutil.AccessDenied:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def _record(home: Path, name: str) -> Path:
    return home / "run" / f"{name}.json"


def _since_boot(process: psutil.Process) -> float:
    return round(process.create_time() - psutil.boot_time(), 2)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _session(leader: int) -> list[psutil.Process]:
    """All processes of the session that a server leads or led."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader:
                found.append(process)
        except ProcessLookupError:
            continue
    return found


def _signal(process: psutil.Process, which: signal.Signals) -> None:
    try:
        process.send_signal(which)
    except psutil.NoSuchProcess:
        return


def _gone(process: psutil.Process) -> bool:
    child = _children.get(process.pid)
    if child is not None:
        return child.poll() is not None  # it says so only when the last thread is gone
    try:
        # a killed process looks ended while threads of it still hold its ports
        return not process.is_running() or (
            process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
        )
    except psutil.NoSuchProcess:
        return True


def _wait_gone(family: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    deadline = time.monotonic() + seconds
    left = family
    while left := [member for member in left if not _gone(member)]:
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_SECONDS / 2)
    return left
