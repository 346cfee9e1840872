"""Real servers: they come up once, survive kills with their data, and stay on loopback."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
import stack_fixture
import trino
from integration_tools import beat_ticks, cluster_of, with_jobs
from pyiceberg.catalog.sql import SqlCatalog

from ticklake.local import postgres, stack
from ticklake.local.flink import client_environment
from ticklake.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.fixture(scope="module")
def own() -> Iterator[Settings]:
    """A stack of this module's own: its servers are killed here."""
    settings = stack_fixture.temporary_settings()
    with stack_fixture.running_stack(settings) as running:
        yield running


def pids(settings: Settings) -> list[int | None]:
    """The servers' processes, in order."""
    return [one.pid for one in stack.status(settings)]


def ticklake(settings: Settings, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command on this stack."""
    return subprocess.run(
        [sys.executable, "-m", "ticklake.main", *words],
        env=dict(os.environ) | stack_fixture.environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )


def test_everything_runs_and_says_so(own: Settings) -> None:
    """The same from the command line, and on any folder as the current one."""
    found = json.loads(ticklake(own, "status", "--json").stdout)
    assert [one["name"] for one in found] == list(stack.NAMES)
    assert {one["state"] for one in found} == {"running"}
    assert [one["pid"] for one in found] == pids(own)
    assert sum(one["memory_mb"] for one in found) < 4000


def test_a_second_up_leaves_all_as_it_is(own: Settings) -> None:
    """Not one server is started again."""
    before = pids(own)
    stack.up(own)
    assert pids(own) == before


def test_every_listener_is_on_loopback(own: Settings) -> None:
    """Of each server and of what it started."""
    ports = set()
    for pid in pids(own):
        leader = psutil.Process(pid)
        for process in (leader, *leader.children(recursive=True)):
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    assert connection.laddr.ip in LOOPBACK, process.cmdline()
                    ports.add(connection.laddr.port)
    local = own.local
    assert {local.postgres_port, local.kafka_port, local.flink_port, local.trino_port} <= ports


def test_no_secret_on_a_command_line_or_in_a_log(own: Settings) -> None:
    """The password goes by file and by environment only."""
    password = postgres.ensure_password(own.local)
    for pid in pids(own):
        assert password not in " ".join(psutil.Process(pid).cmdline())
    for log in (own.local.home / "logs").iterdir():
        assert password not in log.read_text(errors="replace")


def test_the_database_wants_the_password(own: Settings) -> None:
    """Loopback alone opens nothing, and both databases belong to one owner."""
    with postgres.connect(own.local, "postgres") as connection:
        rows = connection.execute(
            "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE NOT datistemplate"
        ).fetchall()
    assert {("ticklake", "ticklake"), ("sqlmesh", "ticklake")} <= set(rows)
    with pytest.raises(Exception, match="password"):
        postgres.psycopg.connect(
            host="127.0.0.1",
            port=own.local.postgres_port,
            user="ticklake",
            password="guess",  # noqa: S106 - the wrong one
            dbname="ticklake",
        )


@contextmanager
def lake(settings: Settings) -> Iterator[SqlCatalog]:
    """The catalog as Python sees it."""
    password = settings.catalog.password.get_secret_value()
    uri = settings.catalog.uri.replace("://", f"+psycopg://ticklake:{password}@")
    catalog = SqlCatalog("lake", uri=uri, warehouse=settings.catalog.warehouse)
    yield catalog
    catalog.close()


def ask(settings: Settings, query: str) -> list[list[object]]:
    """Ask Trino."""
    with trino.dbapi.connect(
        host=settings.trino.host, port=settings.trino.port, user="test"
    ) as connection:
        rows: list[list[object]] = connection.cursor().execute(query).fetchall()
        return rows


def test_python_and_trino_share_the_lake(own: Settings) -> None:
    """Each reads what the other wrote."""
    with lake(own) as catalog:
        rows = pa.table({"a": [1, 2, 3]})
        catalog.create_namespace("shared")
        catalog.create_table("shared.numbers", rows.schema).append(rows)
        assert ask(own, "SELECT sum(a) FROM lake.shared.numbers") == [[6]]
        ask(own, "INSERT INTO lake.shared.numbers VALUES 4")
        assert catalog.load_table("shared.numbers").scan().to_arrow().num_rows == 4


def test_a_second_stack_on_the_same_ports_is_refused(own: Settings, tmp_path: Path) -> None:
    """One line names the port, who has it and the setting."""
    other = own.model_copy(
        update={"local": own.local.model_copy(update={"home": tmp_path / "other"})}
    )
    result = ticklake(other, "up")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert f"port {own.local.postgres_port} (PostgreSQL) is taken by pid " in line
    assert "TICKLAKE_LOCAL__POSTGRES_PORT" in line
    assert ticklake(other, "down").returncode == 0


@pytest.mark.faults
def test_killed_servers_come_back_and_nothing_is_lost_or_doubled(own: Settings) -> None:
    """All of them at once, as when the machine loses power; a job goes on from its newest state."""
    running = with_jobs(own, ["ticks"])
    sent = beat_ticks(running)
    before = pids(own)
    for pid in before:
        leader = psutil.Process(pid)
        for process in (leader, *leader.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # PostgreSQL's children end with their parent
                process.kill()
    while {one.state for one in stack.status(own)} != {"dead"}:
        time.sleep(0.1)

    stack.up(own)
    cluster_of(running).submit("ticks", client_environment(running))
    sent += beat_ticks(running)
    time.sleep(3 * running.flink.checkpoint_seconds)  # a commit follows its checkpoint

    assert {one.state for one in stack.status(own)} == {"running"}
    assert set(pids(own)).isdisjoint(before)
    rows = ask(own, "SELECT count(*), count(DISTINCT event_id) FROM lake.bronze.feed_heartbeats")
    assert rows == [[sent, sent]]
    # Hadoop's own file system, which starts a process for each file, leaves checksums beside them
    written = [f.suffix for f in (own.local.home / "warehouse/bronze/feed_heartbeats").rglob("*.*")]
    assert ".parquet" in written
    assert ".crc" not in written


@pytest.mark.faults
@pytest.mark.parametrize(
    ("killed", "renewed"), [("jobmanager", {"jobmanager", "taskmanager"}), ("kafka", {"kafka"})]
)
def test_a_killed_server_is_started_again(own: Settings, killed: str, renewed: set[str]) -> None:
    """The others keep their processes; a TaskManager is of no use without its JobManager."""
    before = dict(zip(stack.NAMES, pids(own), strict=True))
    psutil.Process(before[killed]).kill()
    while {one.name for one in stack.status(own) if one.state == "dead"} != {killed}:
        time.sleep(0.1)
    stack.up(own)
    after = dict(zip(stack.NAMES, pids(own), strict=True))
    assert {name for name in stack.NAMES if after[name] != before[name]} == renewed
    assert {one.state for one in stack.status(own)} == {"running"}


@pytest.mark.faults
def test_one_that_ends_while_it_is_waited_for_is_started_again(own: Settings) -> None:
    """It was there when `up` looked, and did not answer any more."""
    before = dict(zip(stack.NAMES, pids(own), strict=True))
    broker = psutil.Process(before["kafka"])
    broker.suspend()
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(stack.up, own)
        time.sleep(2)
        assert not going.done()
        broker.kill()
        going.result(120)
    after = dict(zip(stack.NAMES, pids(own), strict=True))
    assert {name for name in stack.NAMES if after[name] != before[name]} == {"kafka"}


def test_down_leaves_nothing_and_may_be_said_twice(own: Settings) -> None:
    """No process, no port."""
    result = ticklake(own, "down")
    assert result.returncode == 0, result.stderr
    assert {one.state for one in stack.status(own)} == {"stopped"}
    for port in (own.local.kafka_port, own.local.postgres_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
    assert ticklake(own, "down").returncode == 0
