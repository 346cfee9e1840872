"""A day of commits every 5 seconds, in minutes: how fresh and how quick is the lake at its end?

Appends small files to bronze.raw_trades (java/.../Commits.java), each with what Flink leaves in the
summary; one snapshot stands for 5 seconds of event time. Every `--maintain-every` of them `ticklake
maintain` runs; snapshots of the last hour (720) and a tag an hour are kept, as on a real lake.
Measured when the first minute is stored, and behind the day right after maintenance and so many
commits later, each as the median of `--repeat` (which are commits too):

- commit: one file and its append, until the catalog has it
- freshness: from the start of an append until a Trino query returns its row
- trino, pyiceberg: one pair, the newest hour

The goal: none of them above 1.3 times its value of the first minute.

    python benchmarks/growth.py [--snapshots 17280]
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import psutil
from common import java_program
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual
from pyiceberg.table import Table

from iceberg_catalog import apply as lake
from iceberg_catalog import maintain as planning
from iceberg_catalog.catalog import connect
from iceberg_catalog.tables import table
from ticklake import console, queries
from ticklake.local import postgres, processes, trino
from ticklake.local.ports import any_free
from ticklake.maintain import maintain
from ticklake.settings import LocalSettings, Settings, load

NAME = "bronze.raw_trades"
START = datetime(2026, 11, 24, tzinfo=UTC)
STEP = timedelta(seconds=5)
FIRST_MINUTE = 12
HOUR = 720
GOAL = 1.3
# commits since the last maintenance at which it is measured: 5 min, 30 min of a job at 5 s
LATER = (60, 360)


class Day:
    """The table, and how far its day has come."""

    def __init__(
        self, settings: Settings, catalog: Catalog, commits: "subprocess.Popen[str]", rows: int
    ) -> None:
        """Nothing is appended yet; `commits` is the program java/.../Commits.java."""
        self._settings = settings
        self._catalog = catalog
        self._commits = commits
        self._rows = rows
        self.snapshots = 0

    def _moment(self) -> datetime:
        return START + self.snapshots * STEP

    def append(self, count: int = 1) -> None:
        """So many commits, each of 5 seconds."""
        assert self._commits.stdin is not None  # noqa: S101 - for the type checker
        assert self._commits.stdout is not None  # noqa: S101 - the same
        self._commits.stdin.write(f"{count}\n")
        self._commits.stdin.flush()
        self.snapshots = int(self._commits.stdout.readline())

    def fresh(self) -> None:
        """One commit, and a query that finds its last row."""
        self.append()
        since = self._moment() - STEP
        while not queries.run(
            self._settings,
            "SELECT 1 FROM raw_trades WHERE event_id = ? AND timestamp >= ?",
            (f"bench:trade:{self.snapshots - 1}:{self._rows - 1}", since),
        ).rows:
            pass

    def by_trino(self) -> None:
        """One pair, the newest hour."""
        queries.run(
            self._settings,
            "SELECT count(*), avg(price) FROM raw_trades WHERE asset_pair = ? AND timestamp >= ?",
            ("P07USD", self._moment() - timedelta(hours=1)),
        )

    def by_pyiceberg(self) -> None:
        """The same, with a table that is loaded for it."""
        since = (self._moment() - timedelta(hours=1)).isoformat()
        wanted = And(EqualTo("asset_pair", "P07USD"), GreaterThanOrEqual("timestamp", since))
        loaded: Table = self._catalog.load_table(NAME)
        loaded.scan(row_filter=wanted, selected_fields=("price",)).to_arrow()

    def maintained(self) -> None:
        """`ticklake maintain`, keeping the last hour's snapshots, however fast they were made."""
        hour_ago = self._catalog.load_table(NAME).metadata.snapshots[-HOUR:][0].timestamp_ms
        hours = max(0, time.time() - hour_ago / 1000) / 3600
        limits = self._settings.maintain.model_copy(update={"snapshot_hours": hours})
        given = self._settings.model_copy(update={"maintain": limits})
        (outcome,) = maintain(given, [NAME])
        for reason in (*outcome.skipped, *outcome.failed):
            console.warn(reason)
        console.step(f"{self.snapshots:,} snapshots; {', '.join(outcome.done)}: {outcome.after}")


@contextmanager
def committing(settings: Settings, rows: int) -> "Iterator[subprocess.Popen[str]]":
    """The program that commits, told how often through its standard input."""
    given = settings.catalog
    place = (given.uri, given.user, given.name, given.warehouse, NAME)
    arguments = (*place, START.isoformat(), str(rows))
    with tempfile.TemporaryDirectory() as folder:
        program = subprocess.Popen(
            java_program(settings, Path(folder), "bench.Commits", *arguments),
            env=os.environ | {"TICKLAKE_CATALOG__PASSWORD": given.password.get_secret_value()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with program:
            yield program


def await_trino(settings: Settings) -> None:
    """On a busy machine it answers before its worker has reported.

    Raises:
        UnfinishedError: it has not within a minute.
    """
    deadline = time.monotonic() + 60
    while True:
        try:
            queries.run(settings, "SELECT count(*) FROM raw_trades")
        except queries.UnfinishedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


def measure(day: Day, repeat: int) -> dict[str, float]:
    """Medians, seconds."""
    steps: dict[str, Callable[[], None]] = {
        "commit": day.append,
        "freshness": day.fresh,
        "trino": day.by_trino,
        "pyiceberg": day.by_pyiceberg,
    }
    found = {}
    for name, step in steps.items():
        took = []
        for _ in range(repeat):
            began = time.perf_counter()
            step()
            took.append(time.perf_counter() - began)
        found[name] = statistics.median(took)
    return found


def run(settings: Settings, snapshots: int, every: int, rows: int, repeat: int) -> None:
    """The day, and the figures."""
    declared = [table("raw_trades")]
    with closing(connect(settings.catalog)) as catalog:
        lake.apply(catalog, declared, lake.plan(catalog, declared))
    with closing(connect(settings.catalog)) as catalog, committing(settings, rows) as commits:
        await_trino(settings)
        day = Day(settings, catalog, commits, rows)
        day.append()
        for _ in range(60):  # JIT compilers
            day.by_trino()
            day.by_pyiceberg()
        while day.snapshots < FIRST_MINUTE:
            day.fresh()
        found = {"in the first minute": measure(day, repeat)}
        began, steal = time.monotonic(), psutil.cpu_times().steal
        while day.snapshots < snapshots:
            day.append(min(every - day.snapshots % every, snapshots - day.snapshots))
            day.maintained()
        seconds, last = time.monotonic() - began, day.snapshots
        for since in (0, *LATER):
            day.append(max(0, last + since - day.snapshots))
            found[f"{since} commits after maintenance"] = measure(day, repeat)
    print(f"{snapshots:,} snapshots of {rows} rows in {seconds:,.0f} s, maintained every {every:,}")
    first = next(iter(found.values()))
    for when, measured in found.items():
        ratios = [f"{n} {v * 1000:.0f} ms ({v / first[n]:.2f}x)" for n, v in measured.items()]
        held = all(value <= GOAL * first[name] for name, value in measured.items())
        print(f"{when}: {', '.join(ratios)}: {'reached' if held else 'MISSED'}")
    print(
        f"load {psutil.getloadavg()[1]:.1f} on {psutil.cpu_count()} CPUs,"
        f" steal {psutil.cpu_times().steal - steal:.1f} s"
    )


def main() -> None:
    """Start PostgreSQL and Trino, run it, stop them."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    arguments.add_argument("--snapshots", type=int, default=17_280)
    arguments.add_argument("--maintain-every", type=int, default=360, help="snapshots")
    arguments.add_argument("--rows", type=int, default=500, help="in a snapshot")
    arguments.add_argument("--repeat", type=int, default=15)
    given = arguments.parse_args()
    warnings.filterwarnings("ignore", message="Parquet writer option")  # one that PyIceberg lacks
    planning.SLACK = timedelta(seconds=5)  # of a day that takes minutes
    with tempfile.TemporaryDirectory(prefix="ticklake-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        local = LocalSettings(
            home=home, postgres_port=any_free(), trino_port=any_free(), fast_start=False
        )
        postgres.ensure_password(local)
        settings = load(local=local)
        try:
            for part in (postgres, trino):
                server = part.prepare(settings)
                processes.start(server, home)
                processes.wait_ready(server, home, Event())
                if part is postgres:
                    postgres.finish(settings)
            run(settings, given.snapshots, given.maintain_every, given.rows, given.repeat)
        finally:
            processes.stop(home, trino.NAME)
            processes.stop(home, postgres.NAME, postgres.STOP_SIGNAL)


if __name__ == "__main__":
    main()
