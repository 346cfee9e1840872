"""Restarts from state that a person makes: another parallelism, an old state, expired snapshots."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fault_run import Run
from faulty_stack import JOB
from ledger import Ledger, Send
from oracle import TABLES
from stack_fixture import environment

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900)]


def again(ledger: Ledger, known: list[Send]) -> None:
    """A copy of each, in turn to each partition, and a conflict of each tenth."""
    for n, send in enumerate(known):
        ledger.copy(send, n % ledger.partitions())
        if n % 10 == 0:
            ledger.conflict(send)


def test_08_parallelism_of_one_two_and_one_again(run: Run) -> None:
    """State goes along: copies of what was sent before are found behind each change."""
    with run.streaming() as ledger:
        known = [s for s in ledger.sends if s.intent == "good"][:300]
        for parallelism in (2, 1):
            run.fault()
            run.lake.cluster().stop(JOB, savepoint=True)
            again(ledger, known)
            run.lake.submit(parallelism)
            run.await_commit()
            known = [s for s in ledger.sends if s.intent == "good"][-300:]
            again(ledger, known)


def test_07_an_older_savepoint_is_refused(run: Run) -> None:
    """One line and exit code 2; from the newest the job goes on."""
    with run.streaming():
        cluster = run.lake.cluster()
        older = cluster.stop(JOB, savepoint=True)
        run.lake.submit()
        run.fault()
        run.await_commit()
        cluster.stop(JOB, savepoint=True)
        done = subprocess.run(
            [sys.executable, "-m", "ticklake.main", "submit", JOB, "--from-savepoint", str(older)],
            env=os.environ | environment(run.lake.settings),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        said = [line for line in done.stderr.splitlines() if line.startswith("ticklake: ")]
        assert done.returncode == 2, done.stderr
        assert len(said) == 1
        assert "would store what came between a second time" in said[0]
        run.lake.submit()


def test_06_all_snapshots_but_the_newest_expired(run: Run) -> None:
    """Between a savepoint and its restart nothing of the history stays but the last commit."""
    with run.streaming():
        run.fault()
        run.lake.cluster().stop(JOB, savepoint=True)
        for name in TABLES:
            table = run.lake.catalog.load_table(("bronze", name))
            table.maintenance.expire_snapshots().older_than(datetime.now(UTC)).commit()
            left = run.lake.catalog.load_table(("bronze", name)).metadata.snapshots
            assert len(left) <= 1
        run.lake.submit()
        run.await_commit()


def test_08_job_with_an_added_column(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A declaration with one more field: the new job goes on from the old one's state, and back."""
    newer = newer_declaration(tmp_path / "code")
    with run.streaming() as ledger:
        known = [s for s in ledger.sends if s.intent == "good"][:300]
        run.fault()
        run.lake.cluster().stop(JOB, savepoint=True)
        again(ledger, known)
        with monkeypatch.context() as there:
            there.chdir(newer)  # a module that is started there is the newer one
            subprocess.run(
                [sys.executable, "-c", _WIDEN],
                env=os.environ | environment(run.lake.settings),
                check=True,
                timeout=120,
            )
            run.lake.submit()
        run.await_commit()
        again(ledger, known)
    run.lake.cluster().stop(JOB, savepoint=True)
    for name in ("raw_trades", "late_trades"):
        table = run.lake.catalog.load_table(("bronze", name))
        assert "note" in table.schema().column_names
        with table.update_schema() as back:
            back.delete_column("note")


_WIDEN = """
from iceberg_catalog import apply, catalog, tables
from ticklake.settings import load

with catalog.connect(load().catalog) as lake:
    apply.apply(lake, tables.tables(), apply.plan(lake, tables.tables()))
"""


def newer_declaration(folder: Path) -> Path:
    """A copy of the packages in which a trade has a note."""
    for package in ("connectors", "iceberg_catalog", "flink_jobs", "ticklake"):
        shutil.copytree(Path(__file__).parents[2] / package, folder / package)
    file = folder / "connectors" / "events.py"
    for old, new in (
        ('"aggressor_side"),\n', '"aggressor_side", "note"),\n'),
        (
            "    bid: Price",
            '    note: Text | None = Field(None, description="any")\n    bid: Price',
        ),
    ):
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))
    return folder
