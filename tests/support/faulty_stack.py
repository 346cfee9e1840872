"""A stack whose servers are killed, and the way back: each scenario leaves it healthy."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from broker_log import positions
from ledger import TOPIC, Ledger
from oracle import BARS_TOPIC
from proxies import DatabaseProxy
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import EqualTo
from small_disks import small_disks
from sqlalchemy.exc import SQLAlchemyError
from stack_fixture import running_stack, temporary_settings

from connectors import kafka
from connectors.errors import TicklakeError
from connectors.kafka import dead_letter_topic
from connectors.progress import await_read, unread
from flink_jobs.cluster import Cluster
from flink_jobs.run import job
from flink_jobs.settings import JobSettings
from iceberg_catalog import apply as lake
from iceberg_catalog.catalog import connect
from iceberg_catalog.tables import tables
from ticklake.local import stack as servers
from ticklake.local.flink import client_environment
from ticklake.local.processes import process_of, recall
from ticklake.settings import Settings

JOB = "ticks"
GROUP = job(JOB).group
_POLL_SECONDS = 0.25
_DRAIN_SECONDS = 180


class Lake:
    """The stack, its job `ticks`, and the proxy through which the job meets its catalog."""

    def __init__(
        self,
        settings: Settings,
        proxy: DatabaseProxy,
        catalog: Catalog,
        disks: Mapping[str, Path],
    ) -> None:
        """Everything runs but the job."""
        self.settings = settings
        self.disks = disks
        self.proxy = proxy
        self.catalog = catalog
        self._stopped: list[psutil.Process] = []

    @property
    def servers(self) -> str:
        """Kafka's address."""
        return self.settings.kafka.bootstrap_servers

    def cluster(self, parallelism: int = 1) -> Cluster:
        """Flink, for a job that meets the catalog through the proxy."""
        settings = self.settings
        # without server-side names of statements each commit shows its SQL to the proxy
        uri = f"postgresql://127.0.0.1:{self.proxy.port}/ticklake?prepareThreshold=0"
        return Cluster(
            JobSettings(
                kafka=settings.kafka,
                catalog=settings.catalog.model_copy(update={"uri": uri}),
                flink=settings.flink.model_copy(update={"parallelism": parallelism}),
            )
        )

    def submit(self, parallelism: int = 1, **how: Any) -> None:  # noqa: ANN401 - as Cluster.submit
        """Start the job from its newest state."""
        self.cluster(parallelism).submit(JOB, client_environment(self.settings), **how)

    def process(self, name: str) -> psutil.Process:
        """The process of a server that runs."""
        (pid,) = [one.pid for one in servers.status(self.settings) if one.name == name]
        assert pid is not None, f"{name} does not run"
        return psutil.Process(pid)

    def kill(self, name: str) -> None:
        """End a server without a word."""
        process = self.process(name)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def freeze(self, name: str) -> psutil.Process:
        """Stop a server's time."""
        process = self.process(name)
        process.send_signal(signal.SIGSTOP)
        self._stopped.append(process)
        return process

    def thaw(self) -> None:
        """Let time go on for all that is frozen."""
        while self._stopped:
            with suppress(psutil.NoSuchProcess):
                self._stopped.pop().send_signal(signal.SIGCONT)

    def small_disk(self, folder: str) -> Path:
        """The file system of a folder of the stack's home; skips where there is none."""
        if folder not in self.disks:
            pytest.skip("no file system of limited size can be mounted here")
        return self.disks[folder]

    def up(self) -> None:
        """What a supervisor does: start what is not running."""
        servers.up(self.settings)

    def runs(self, name: str) -> bool:
        """Whether the server's process is there."""
        return process_of(recall(self.settings.local.home, name)) is not None

    def heal(self) -> None:
        """Whatever the last scenario left: all runs, and all that was sent is in the lake."""
        self.thaw()
        self.proxy.disarm()
        if any(one.state != "running" for one in servers.status(self.settings)):
            self.up()
        if not any(j.name == JOB and not j.ended for j in self.cluster().jobs()):
            self.submit()
            self.await_receipts()
        if unread(self.settings.kafka, GROUP, TOPIC):
            self.await_read()

    def await_read(self) -> None:
        """Wait until a checkpoint holds all of the topic."""
        assert await_read(self.settings.kafka, GROUP, TOPIC, _DRAIN_SECONDS), "the job is stuck"

    def await_receipts(self) -> None:
        """Wait until the job has covered all of the topic by receipts in this catalog.

        The group's offsets on the broker may be those of a job on another one.
        """
        ends = self.ends()[TOPIC]
        wait_until(lambda: self._covers(ends), _DRAIN_SECONDS, "not all was read")

    def _covers(self, ends: Mapping[int, int]) -> bool:
        receipts = self.catalog.load_table(("bronze", "commit_receipts")).scan(
            row_filter=EqualTo("topic", TOPIC), selected_fields=("partition", "next_offset")
        )
        read: dict[int, int] = {}
        for row in receipts.to_arrow().to_pylist():
            read[row["partition"]] = max(read.get(row["partition"], 0), row["next_offset"])
        return all(read.get(partition, 0) >= end for partition, end in ends.items())

    def drain(self, ledger: Ledger) -> None:
        """Close the windows of a ledger that has stopped, and wait until all is committed.

        The first checkpoint holds the beat, the next the bars that it closed; a third is not
        begun before the commit of these is done.
        """
        for _ in range(3):
            ledger.close_windows()
            self.await_read()

    def ends(self) -> dict[str, dict[int, int]]:
        """Where the topics end now."""
        topics = (TOPIC, dead_letter_topic(TOPIC), BARS_TOPIC)
        return {topic: positions(self.servers, topic) for topic in topics}

    def commit_after(self, moment: float, seconds: float) -> float | None:
        """Epoch seconds of the job's first commit after a moment; None if there is none in time."""
        deadline = time.time() + seconds
        while time.time() < deadline:
            with suppress(SQLAlchemyError, OSError):
                receipts = self.catalog.load_table(("bronze", "commit_receipts"))
                found = [s.timestamp_ms / 1000 for s in receipts.metadata.snapshots]
                if later := [at for at in found if at > moment]:
                    return min(later)
            time.sleep(_POLL_SECONDS)
        return None


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something that has to come.

    Raises:
        TicklakeError: it did not.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TicklakeError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.005)


@contextmanager
def running_lake(limited: Sequence[str] = ()) -> Iterator[Lake]:
    """A stack of its own, with topics, tables and the job `ticks`.

    Args:
        limited: folders of its home that lie on small disks.
    """
    given = temporary_settings()
    with small_disks(given.local.home, limited) as disks, running_stack(given) as settings:
        kafka.apply(settings.kafka, kafka.plan(settings.kafka))
        port = settings.local.postgres_port
        with connect(settings.catalog) as catalog, DatabaseProxy(port) as proxy:
            lake.apply(catalog, tables(), lake.plan(catalog, tables()))
            found = Lake(settings, proxy, catalog, disks)
            found.submit()
            try:
                yield found
            finally:
                found.thaw()
                proxy.disarm()
