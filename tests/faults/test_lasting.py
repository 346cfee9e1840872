"""Faults that last: a frozen TaskManager, servers out of reach, full disks."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fault_run import Run
from faulty_stack import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900)]
_COMMIT_SECONDS = 90
_FULL_SECONDS = 20


def test_13_taskmanager_frozen_for_90_seconds(run: Run) -> None:
    """SIGSTOP, longer than Flink's patience: given up, it comes back and commits nothing old."""
    with run.streaming():
        run.lake.freeze("taskmanager")
        run.fault()
        time.sleep(90)
        run.lake.thaw()
        run.await_commit(lasting=90)


def test_12_catalog_out_of_reach_for_20_seconds(run: Run) -> None:
    """No line is cut and no word passes between the job and PostgreSQL."""
    with run.streaming():
        run.lake.proxy.arm("silence")
        wait_until(run.lake.proxy.hit.is_set, _COMMIT_SECONDS, "no word came by")
        run.fault()
        time.sleep(20)
        run.lake.proxy.disarm()
        run.await_commit(lasting=20)


def test_12_nothing_reaches_anything_for_20_seconds(run: Run) -> None:
    """The loopback device of a network of the run's own goes down, and comes back."""
    if not os.environ.get("TICKLAKE_OWN_NETWORK"):
        pytest.skip("needs a network of its own, see docs/faults.md")
    with run.streaming():
        subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
        run.fault()
        try:
            time.sleep(20)
        finally:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        run.await_commit(lasting=20)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Nothing more can be written there."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 20))
    assert shutil.disk_usage(disk).free == 0
    try:
        yield
    finally:
        ballast.unlink()


def test_10_broker_s_disk_full(run: Run) -> None:
    """The broker stops; when there is room it starts again, with all that it acknowledged."""
    disk = run.lake.small_disk("kafka/data")
    with run.streaming():
        with full(disk):
            run.fault()
            began = time.monotonic()
            wait_until(lambda: not run.lake.runs("kafka"), _COMMIT_SECONDS, "the broker goes on")
            time.sleep(_FULL_SECONDS)
        run.lake.up()
        run.await_commit(lasting=time.monotonic() - began)


@pytest.mark.parametrize("folder", ["flink-state", "warehouse"])
def test_11_disk_of_state_or_tables_full(run: Run, folder: str) -> None:
    """Checkpoints or files fail, and nothing half is referred to; it goes on when there is room."""
    run.remark(folder)
    disk = run.lake.small_disk(folder)
    with run.streaming():
        with full(disk):
            run.fault()
            time.sleep(_FULL_SECONDS)
        run.await_commit(lasting=_FULL_SECONDS)
