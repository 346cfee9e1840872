"""The whole stack: bring it up, take it down, say how it is."""

import fcntl
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Literal

import psutil

from connectors.errors import TicklakeError, UnavailableError
from ticklake.console import step, warn
from ticklake.local import aot, flink, jars, java, jvm, kafka, postgres, trino
from ticklake.local.ports import require_free
from ticklake.local.processes import (
    Port,
    Server,
    log_file,
    process_of,
    recall,
    resident_mb,
    start,
    stop,
    tail,
    wait_ready,
)
from ticklake.settings import LocalSettings, Settings

_MINIMUM_FREE_BYTES = 2_000_000_000
_MINIMUM_MEMORY_BYTES = 5_000_000_000
# what Java says when it crashes itself, as it does on a damaged ahead-of-time cache
_CRASH = "fatal error has been detected by the Java Runtime"
_CRASH_LINES = 60
_PORT_SECONDS = 10.0
_DYING_SECONDS = 0.3
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Part:
    """One server as people know it."""

    name: str
    title: str
    ports: Callable[[LocalSettings], tuple[Port, ...]]
    address: Callable[[LocalSettings], str]
    stop_signal: signal.Signals = signal.SIGTERM


# in the order of a start; a stop goes the other way
PARTS = (
    Part(postgres.NAME, postgres.TITLE, postgres.ports, postgres.address, postgres.STOP_SIGNAL),
    Part(kafka.NAME, kafka.TITLE, kafka.ports, kafka.address),
    Part(flink.JOBMANAGER, "Flink JobManager", flink.ports, flink.address),
    Part(flink.TASKMANAGER, "Flink TaskManager", lambda _: (), lambda _: ""),
    Part(trino.NAME, trino.TITLE, trino.ports, trino.address),
)
_JOBMANAGER, _TASKMANAGER = PARTS[2:4]
NAMES = tuple(part.name for part in PARTS)


@dataclass(frozen=True)
class Status:
    """How one server is."""

    name: str
    title: str
    state: Literal["running", "stopped", "dead"]
    """dead: it was started and ended without `down`."""
    pid: int | None
    port: int | None
    memory_mb: float | None
    address: str
    log: Path


def up(settings: Settings, extra_jars: Sequence[Path] = ()) -> None:
    """Start what is not running and return when all of it answers.

    Args:
        settings: where the data lie, which ports, how much memory.
        extra_jars: more jars for Flink's lib folder.

    Raises:
        TicklakeError: a port is taken, there is too little disk or memory, or the home's path
            cannot be part of a location.
        UnavailableError: a server does not start; the message quotes its log.
    """
    local = settings.local
    _require_plain_path(local.home)
    local.home.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(local.home):
        if any(_runs(local.home, part) for part in PARTS):
            time.sleep(_DYING_SECONDS)  # one that was killed just now is there for a moment yet
        missing = [part for part in PARTS if not _runs(local.home, part)]
        if _JOBMANAGER in missing and _runs(local.home, _TASKMANAGER):
            # its tasks are lost, and it would look for the old JobManager for 50 s more
            _stop_one(local.home, _TASKMANAGER)
            missing.append(_TASKMANAGER)
        if missing:
            _require_machine(local)
            for part in missing:
                # one that was killed just now may still be letting go of its ports
                died = recall(local.home, part.name) is not None
                require_free(part.title, part.ports(local), _PORT_SECONDS if died else 0)
            jvm.java()
        # before the servers start: downloads may take minutes
        jars.ensure(local, "kafka", "flink", "compiler")
        trino.ensure_unpacked(local)
        postgres.ensure_password(local)
        own = java.flink_extension_jar(settings)
        flink.write_files(settings, [*extra_jars, *([own] if own else [])])
        _start_all(settings)


def down(settings: Settings) -> list[str]:
    """Stop every server; data and logs stay.

    Returns:
        Titles of the servers that were running.
    """
    home = settings.local.home
    if not home.exists():
        return []
    with _one_at_a_time(home):
        with ThreadPoolExecutor(len(PARTS)) as pool:
            # the catalog's database last: the others write to it until they end
            ended = list(pool.map(lambda part: _stop_one(home, part), PARTS[1:]))
        ended.insert(0, _stop_one(home, PARTS[0]))
        return [part.title for part, did in zip(PARTS, ended, strict=True) if did]


def _runs(home: Path, part: Part) -> bool:
    return process_of(recall(home, part.name)) is not None


def _stop_one(home: Path, part: Part) -> bool:
    process = process_of(recall(home, part.name))
    output = aot.output_of(process) if process else None
    if output is None:
        return stop(home, part.name, part.stop_signal) != "absent"
    step(f"{part.title} saves what makes its next start faster")
    patience = aot.WRITING_SECONDS
    outcome = stop(home, part.name, part.stop_signal, patience, family_seconds=patience)
    aot.settle(output, whole=outcome == "ended")
    return outcome != "absent"


def status(settings: Settings) -> list[Status]:
    """How each server is now."""
    return [_status_of(part, settings.local) for part in PARTS]


def _status_of(part: Part, local: LocalSettings) -> Status:
    running = recall(local.home, part.name)
    process = process_of(running)
    ports = part.ports(local)
    return Status(
        name=part.name,
        title=part.title,
        state="running" if process else "dead" if running else "stopped",
        pid=process.pid if process else None,
        port=ports[0].number if ports else None,
        memory_mb=round(resident_mb(process), 1) if process else None,
        address=part.address(local),
        log=log_file(local.home, part.name),
    )


def _start_all(settings: Settings) -> None:
    given_up = Event()
    database: Future[None] = Future()

    def start_database() -> None:
        try:
            _start_one(settings.local, postgres.NAME, lambda: postgres.prepare(settings), given_up)
            if not given_up.is_set():
                postgres.finish(settings)
        except BaseException as error:
            database.set_exception(error)
            raise
        database.set_result(None)

    def start_trino() -> None:
        database.result()
        _start_one(settings.local, trino.NAME, lambda: trino.prepare(settings), given_up)

    others = {
        kafka.NAME: kafka.prepare,
        flink.JOBMANAGER: flink.jobmanager,
        flink.TASKMANAGER: flink.taskmanager,
    }
    with ThreadPoolExecutor(len(PARTS), thread_name_prefix="start") as pool:
        jobs = [pool.submit(start_database), pool.submit(start_trino)]
        for name, prepare in others.items():
            bound = partial(prepare, settings)
            jobs.append(pool.submit(_start_one, settings.local, name, bound, given_up))
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException:  # Ctrl-C too: what is started stays, but nobody waits for it
            given_up.set()
            raise


def _start_one(
    local: LocalSettings, name: str, prepare: Callable[[], Server], given_up: Event
) -> None:
    if given_up.is_set():
        return
    server = prepare()
    running = recall(local.home, name)
    if process_of(running) is not None and _stays(server, local.home, given_up):
        if running is not None and running.fingerprint != server.fingerprint():
            warn(
                f"{server.title} still runs with its former settings or jars; "
                "`ticklake down`, then `ticklake up` applies the new ones"
            )
        return
    began = time.monotonic()
    start(server, local.home)
    try:
        wait_ready(server, local.home, given_up)
    except UnavailableError:
        log = tail(log_file(local.home, name), _CRASH_LINES)
        crashed = any(_CRASH in line for line in log)
        if not (crashed and aot.drop(server.passing_options)):
            raise
        step(f"{server.title} crashed on its start cache; starting without it")
        server = prepare()
        start(server, local.home)
        wait_ready(server, local.home, given_up)
    if not given_up.is_set():
        step(f"{server.title} is up ({time.monotonic() - began:.1f} s)")


def _stays(server: Server, home: Path, given_up: Event) -> bool:
    """Whether one that runs answers at last; one that was about to end when it was asked does not.

    Raises:
        UnavailableError: it neither answers nor ends.
    """
    try:
        wait_ready(server, home, given_up)
    except UnavailableError:
        if process_of(recall(home, server.name)) is not None:
            raise
        return False
    return True


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    """Two commands at once must not both start a server: the second waits."""
    with (home / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            step("waiting for another ticklake command on this stack")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _require_plain_path(home: Path) -> None:
    """Engines disagree on whether `%20` in a table's location is a space."""
    if home.as_uri() != f"file://{home}" or ":" in str(home):
        raise TicklakeError(
            f"the stack's home {str(home)!r} has a space or another character that locations of "
            "tables cannot have; set TICKLAKE_LOCAL__HOME to another folder"
        )


def _require_machine(local: LocalSettings) -> None:
    free = shutil.disk_usage(local.home).free
    if free < _MINIMUM_FREE_BYTES:
        raise TicklakeError(
            f"{local.home} has {free / 1e9:.1f} GB free, the stack needs "
            f"{_MINIMUM_FREE_BYTES / 1e9:.0f}; free some, or set TICKLAKE_LOCAL__HOME to a folder "
            "on a larger disk"
        )
    memory = psutil.virtual_memory()
    total, available = memory.total, memory.available
    if _CGROUP_LIMIT.exists() and (limit := _CGROUP_LIMIT.read_text().strip()) != "max":
        total = min(total, int(limit))
        available = min(available, total)
    if total < _MINIMUM_MEMORY_BYTES:
        raise TicklakeError(
            f"this machine has {total / 1e9:.1f} GB of memory, the stack needs "
            f"{_MINIMUM_MEMORY_BYTES / 1e9:.0f}"
        )
    if available < _MINIMUM_MEMORY_BYTES:
        warn(
            f"only {available / 1e9:.1f} GB of memory are available; the stack takes 3 to 6 GB. "
            "TICKLAKE_LOCAL__TASKMANAGER_MB and TICKLAKE_LOCAL__TRINO_HEAP_MB make it smaller"
        )
