"""Only what was started is ended, and a server that dies while starting says why."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import psutil
import pytest

from connectors.errors import TicklakeError, UnavailableError
from ticklake.local import ports, processes
from ticklake.local.processes import Port, Server

SLEEP = "import time; time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on'); {SLEEP}"
PARENT = (
    f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); {SLEEP}"
)


def server(tmp_path: Path, code: str, **more: object) -> Server:
    """A server that runs this code and is always ready."""
    given = {"ready": lambda: True, "patience_seconds": 10.0} | more
    return Server(
        name="thing",
        title="Thing",
        command=(sys.executable, "-u", "-c", code),
        cwd=tmp_path,
        **given,  # type: ignore[arg-type]
    )


def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_start_and_stop(tmp_path: Path) -> None:
    """The server has its own session: Ctrl-C on the command does not reach it."""
    started = processes.start(server(tmp_path, SLEEP), tmp_path)
    found = processes.process_of(processes.recall(tmp_path, "thing"))
    assert found == started
    assert os.getsid(started.pid) == started.pid
    assert processes.stop(tmp_path, "thing") == "ended"
    assert not started.is_running()
    assert processes.recall(tmp_path, "thing") is None
    assert processes.stop(tmp_path, "thing") == "absent"


def test_stop_ends_the_whole_family(tmp_path: Path) -> None:
    """What the server started goes with it."""
    started = processes.start(server(tmp_path, PARENT), tmp_path)
    eventually(started.children)
    (child,) = started.children()
    processes.stop(tmp_path, "thing")
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_stop_kills_what_does_not_listen(tmp_path: Path) -> None:
    """A request comes first, then a kill."""
    started = processes.start(server(tmp_path, STUBBORN), tmp_path)
    eventually(lambda: processes.tail(processes.log_file(tmp_path, "thing"), 1) == ["on"])
    assert processes.stop(tmp_path, "thing", patience_seconds=0.3) == "killed"
    assert not started.is_running()


def test_a_reused_pid_is_never_ended(tmp_path: Path) -> None:
    """Another process got the pid of a server that is gone."""
    innocent = subprocess.Popen([sys.executable, "-c", SLEEP])
    try:
        record = tmp_path / "run" / "thing.json"
        record.parent.mkdir()
        since = psutil.Process(innocent.pid).create_time() - psutil.boot_time()
        record.write_text(
            json.dumps({"pid": innocent.pid, "started": since - 60, "fingerprint": ""})
        )
        assert processes.process_of(processes.recall(tmp_path, "thing")) is None
        assert processes.stop(tmp_path, "thing") == "absent"
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_a_record_cut_off_by_a_crash_is_dropped(tmp_path: Path) -> None:
    """No pid in it can be trusted."""
    record = tmp_path / "run" / "thing.json"
    record.parent.mkdir()
    record.write_text('{"pid": 1')
    assert processes.recall(tmp_path, "thing") is None
    assert not record.exists()


def test_a_killed_server_is_seen_as_gone(tmp_path: Path) -> None:
    """Its record stays, so that `status` says dead."""
    started = processes.start(server(tmp_path, SLEEP), tmp_path)
    os.kill(started.pid, signal.SIGKILL)
    eventually(lambda: processes.process_of(processes.recall(tmp_path, "thing")) is None)
    assert processes.recall(tmp_path, "thing") is not None  # so that status says "dead"


def test_servers_start_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that looks after ended servers bears another start in the middle of it."""
    first = processes.start(server(tmp_path, SLEEP), tmp_path / "first")
    poll = subprocess.Popen.poll
    started: list[psutil.Process] = []

    def poll_while_another_starts(child: "subprocess.Popen[bytes]") -> int | None:
        monkeypatch.setattr(subprocess.Popen, "poll", poll)
        started.append(processes.start(server(tmp_path, SLEEP), tmp_path / "second"))
        return poll(child)

    monkeypatch.setattr(subprocess.Popen, "poll", poll_while_another_starts)
    started.append(processes.start(server(tmp_path, SLEEP), tmp_path / "third"))
    assert len({first, *started}) == 3
    for home in ("first", "second", "third"):
        assert processes.stop(tmp_path / home, "thing") == "ended"


def test_a_server_that_dies_while_starting_says_why(tmp_path: Path) -> None:
    """The log's telling line is in the message."""
    broken = server(tmp_path, "raise ValueError('no such thing')", ready=lambda: False)
    processes.start(broken, tmp_path)
    with pytest.raises(
        UnavailableError, match=r"Thing ended while starting: ValueError: no such thing \(log: .*"
    ):
        processes.wait_ready(broken, tmp_path, Event())


def test_a_server_that_stays_silent_is_given_up(tmp_path: Path) -> None:
    """Nobody waits for ever."""
    silent = server(tmp_path, SLEEP, ready=lambda: False, patience_seconds=0.2)
    processes.start(silent, tmp_path)
    try:
        with pytest.raises(UnavailableError, match="Thing did not answer within 0 s"):
            processes.wait_ready(silent, tmp_path, Event())
    finally:
        processes.stop(tmp_path, "thing")


def test_the_fingerprint_follows_command_and_files(tmp_path: Path) -> None:
    """So `up` can tell that a server runs with older settings."""
    settings = tmp_path / "settings"
    settings.write_text("a")
    first = server(tmp_path, SLEEP, settled_by=(settings,)).fingerprint()
    assert server(tmp_path, SLEEP, settled_by=(settings,)).fingerprint() == first
    settings.write_text("b")
    assert server(tmp_path, SLEEP, settled_by=(settings,)).fingerprint() != first


def test_tail_of_a_long_log(tmp_path: Path) -> None:
    """More lines than one block holds."""
    log = tmp_path / "log"
    log.write_text("".join(f"line {n} {'x' * 200}\n" for n in range(5000)))
    found = processes.tail(log, 1000)
    assert len(found) == 1000
    assert found[-1].startswith("line 4999 ")
    assert processes.tail(log, 0) == []
    assert processes.tail(tmp_path / "none", 5) == []


def test_a_taken_port_is_named_with_its_holder_and_the_way_out() -> None:
    """One line is all that a person needs."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert not ports.is_free(taken)
        with pytest.raises(TicklakeError) as found:
            ports.require_free("Kafka", (Port(taken, "kafka_port"),))
    assert f"port {taken} (Kafka) is taken by pid {os.getpid()} " in str(found.value)
    assert "TICKLAKE_LOCAL__KAFKA_PORT" in str(found.value)
    assert found.value.exit_code == 2
    ports.require_free("Kafka", (Port(taken, "kafka_port"),))


def test_a_port_listened_on_everywhere_is_taken() -> None:
    """A wildcard listener holds loopback too."""
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        assert not ports.is_free(other.getsockname()[1])
