"""Our jobs on real servers: events per CPU-second of the Flink processes, from their JVMs' start.

Each variant gets fresh servers and the same topic (tape.py), submits its job and waits until all
is committed; then the lake is held against the tape's ledger, and a wrong row ends the run.
CPU-seconds are user + system of JobManager and TaskManager. Wall time is not a figure: machines
are shared; the load and the steal time stand beside it.

    python benchmarks/full_job.py [--trades 8000000] [--variant full bronze parse]
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import httpx2
import psutil
import pyarrow.compute as pc
from common import (
    cpu_seconds,
    flink_processes,
    fresh_stack,
    job_settings,
    peak_mb,
    writes_cache,
)
from pyiceberg.catalog import Catalog
from tape import Ledger
from tape import load as load_tape

from connectors.events import Tick
from connectors.progress import unread
from flink_jobs import ddl
from flink_jobs.cluster import Cluster
from iceberg_catalog.catalog import connect
from ticklake import console
from ticklake.local.flink import client_environment
from ticklake.maintain import maintain
from ticklake.settings import Settings

PATIENCE_SECONDS = 900
TRAINING_TRADES = 300_000
TOPIC = Tick.stream.topic or ""


@dataclass(frozen=True)
class Sample:
    """A moment of a run: rows stored, CPU-seconds used, the newest checkpoint's size and time."""

    rows: int
    cpu: float
    state_mb: float
    written_mb: float
    milliseconds: int


@dataclass(frozen=True)
class Figures:
    """What one run used; CPU-seconds by process, resident megabytes at their highest."""

    records: int
    idle: dict[str, float]
    used: dict[str, float]
    peak_mb: dict[str, float]
    seconds: float
    steal: float
    load: float
    stored: list[int]
    """Bytes of each data file of raw_trades as the job wrote them."""
    compacted: list[int]
    """The same behind `ticklake maintain`."""
    samples: list[Sample]


def sample(settings: Settings, catalog: Catalog, flink: dict[str, psutil.Process]) -> Sample | None:
    """How far it is, if a checkpoint is complete."""
    jobs = f"http://{settings.flink.rest_address}/jobs"
    with httpx2.Client(timeout=30) as client:
        (job,) = [one["id"] for one in client.get(jobs).json()["jobs"]]
        newest = client.get(f"{jobs}/{job}/checkpoints").json()["latest"]["completed"]
    if newest is None:
        return None
    return Sample(
        stored(catalog, "raw_trades"),
        sum(cpu_seconds(flink).values()),
        newest["state_size"] / 1e6,
        newest["checkpointed_size"] / 1e6,
        newest["end_to_end_duration"],
    )


def course(samples: list[Sample]) -> Iterator[str]:
    """From quarter to quarter of the rows: the rate, the state, the checkpoint."""
    if not samples:
        return
    quarters = [next(s for s in samples if s.rows >= samples[-1].rows * n / 4) for n in range(5)]
    for before, now in pairwise(quarters):
        if now.cpu > before.cpu:
            yield (
                f"  {now.rows:,} ids: {(now.rows - before.rows) / (now.cpu - before.cpu):,.0f} "
                f"rows/CPU-s in this quarter, state {now.state_mb:.1f} MB, checkpoint "
                f"{now.milliseconds} ms for {now.written_mb:.1f} MB"
            )


def stored(catalog: Catalog, table: str) -> int:
    """Rows of a table, from its newest snapshot's summary."""
    snapshot = catalog.load_table(("bronze", table)).current_snapshot()
    return int(snapshot.summary["total-records"] or 0) if snapshot and snapshot.summary else 0


def bars(catalog: Catalog) -> dict[str, int]:
    """What the bars in the lake add up to, as `Ledger.bars` does."""
    columns = ("open", "high", "low", "close", "volume", "trade_count")
    found = (
        catalog.load_table(("bronze", "market_bars_5s")).scan(selected_fields=columns).to_arrow()
    )
    sums = {name: pc.sum(found[name]).as_py() or 0 for name in columns}
    return (
        {"bars": found.num_rows}
        | {name: int(sums[name] * 100) for name in columns[:4]}
        | {"volume": int(sums["volume"] * Decimal(10**8)), "trades": int(sums["trade_count"])}
    )


def done(settings: Settings, catalog: Catalog, variant: str, ledger: Ledger) -> bool:
    """Whether all of the tape has been taken up."""
    if variant == "parse":
        return not unread(settings.kafka, f"{ddl.group('ticks')}", TOPIC)
    complete = stored(catalog, "raw_trades") >= ledger.trades
    return complete and (variant == "bronze" or bars(catalog)["trades"] >= ledger.trades)


def check(catalog: Catalog, variant: str, ledger: Ledger) -> None:
    """Hold the lake against the ledger.

    Raises:
        SystemExit: something is missing, double or wrong.
    """
    if variant == "parse":
        return
    receipts = catalog.load_table(("bronze", "commit_receipts")).scan().to_arrow()
    found = {
        "trades": stored(catalog, "raw_trades"),
        "late": stored(catalog, "late_trades"),
        "dead": stored(catalog, "dead_letters"),
        "records": pc.sum(receipts["records"]).as_py(),
        "bars": bars(catalog) if variant == "full" else ledger.bars,
    }
    right = {
        "trades": ledger.trades,
        "late": 0,
        "dead": ledger.malformed,
        "records": ledger.records,
        "bars": ledger.bars,
    }
    if found != right:
        raise SystemExit(f"wrong: {found}; the ledger has {right}")


def file_sizes(catalog: Catalog) -> list[int]:
    """Bytes of each data file of raw_trades."""
    files = catalog.load_table(("bronze", "raw_trades")).inspect.files().to_pylist()
    return [file["file_size_in_bytes"] for file in files]


def run(variant: str, trades: int) -> Figures:
    """One variant on fresh servers, as they start the second time: with Java's start-up caches."""
    with fresh_stack() as settings:
        if not writes_cache(settings):
            return measured(settings, variant, trades)
        console.step("a first run, for Java's start-up caches")
        measured(settings, "full", TRAINING_TRADES)
    with fresh_stack() as settings:
        return measured(settings, variant, trades)


def measured(settings: Settings, variant: str, trades: int) -> Figures:
    """One variant on these servers."""
    with connect(settings.catalog) as catalog:
        console.step(f"{variant}: filling the topic with {trades:,} trades")
        ledger = load_tape(settings, TOPIC, trades)
        flink = flink_processes(settings)
        idle, steal, began = cpu_seconds(flink), psutil.cpu_times().steal, time.monotonic()
        subprocess.run(
            [sys.executable, str(Path(__file__).with_name("variant.py")), variant],
            env=Cluster(job_settings(settings)).environment(client_environment(settings)),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        samples: list[Sample] = []
        while not done(settings, catalog, variant, ledger):
            if time.monotonic() - began > PATIENCE_SECONDS:
                check(catalog, variant, ledger)
                raise SystemExit("the job does not come to the end of the topic")
            time.sleep(2)
            samples += filter(None, [sample(settings, catalog, flink)])
        used, seconds = cpu_seconds(flink), time.monotonic() - began
        stolen = psutil.cpu_times().steal - steal
        check(catalog, variant, ledger)
        written = file_sizes(catalog)
        peak, load = {name: peak_mb(p) for name, p in flink.items()}, psutil.getloadavg()[0]
        if written:
            limits = settings.maintain.model_copy(update={"small_files": 2})
            maintain(settings.model_copy(update={"maintain": limits}), ["bronze.raw_trades"])
        return Figures(
            records=ledger.records,
            idle=idle,
            used=used,
            peak_mb=peak,
            seconds=seconds,
            steal=stolen,
            load=load,
            stored=written,
            compacted=file_sizes(catalog),
            samples=samples,
        )


def main() -> None:
    """Run the variants and print a line for each."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--trades", type=int, default=8_000_000)
    arguments.add_argument("--variant", nargs="+", default=["parse", "bronze", "full"])
    given = arguments.parse_args()
    lines = []
    for variant in given.variant:
        found = run(variant, given.trades)
        all_used, at_start = sum(found.used.values()), sum(found.idle.values())
        name = "full job" if variant == "full" else f"{variant} only"
        storage = "".join(
            f"{sum(sizes) / given.trades:.1f} B/row in {len(sizes)} files{when}, "
            for sizes, when in ((found.stored, ""), (found.compacted, " after maintenance"))
            if sizes
        )
        lines.append(
            f"{name}: {found.records / all_used:,.0f} events/CPU-s "
            f"({found.records / (all_used - at_start):,.0f} without the JVMs' start; "
            f"{found.records:,} events, {all_used:.1f} CPU-s, {storage}peak "
            + " + ".join(f"{mb:,.0f}" for mb in found.peak_mb.values())
            + f" MB, {found.seconds:.0f} s, steal {found.steal:.1f} s, load {found.load:.1f})"
        )
        lines += course(found.samples) if variant == "full" else ()
    print("\n".join(lines))


if __name__ == "__main__":
    main()
