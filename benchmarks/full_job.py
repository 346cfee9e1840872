"""The full job on real servers: events per CPU-second of the Flink processes.

Publishes a backlog of simulated ticks (64 pairs, 4 partitions, jitter 2 s, 2 % duplicates, 0.1 %
malformed), then submits the job `ticks` and waits until every good tick is committed and every bar
is made. CPU-seconds are user + system of JobManager and TaskManager, from the start of their JVMs.
A second backlog of the same size on the same job gives the warm figure. Wall time is not a figure:
machines are shared; the steal time stands beside it.

    python benchmarks/full_job.py [--ticks 1000000]
"""

import argparse
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from pyiceberg.catalog import Catalog

from connectors import kafka
from connectors.events import Tick
from connectors.kafka import Publisher, clock_beats
from connectors.sources.simulated import CENT, Instrument, Plan, simulate
from flink_jobs.cluster import Cluster
from flink_jobs.settings import JobSettings
from iceberg_catalog import apply as lake
from iceberg_catalog.catalog import connect
from iceberg_catalog.tables import tables
from ticklake import console
from ticklake.local import stack
from ticklake.local.flink import client_environment
from ticklake.local.ports import any_free
from ticklake.settings import LocalSettings, Settings, load

PAIRS = 64
RATE = 500  # trades a second and pair: the backlogs must not overlap in event time
PATIENCE_SECONDS = 600


def publish(settings: Settings, ticks: int, seed: int) -> tuple[int, int]:
    """Publish a backlog that ends now; give the records sent and the trades that must be stored."""
    seconds = ticks / (PAIRS * RATE)
    plan = Plan(
        start=datetime.now(UTC) - timedelta(seconds=seconds + 10),
        seconds=seconds,
        seed=seed,
        instruments=tuple(
            Instrument("bench", f"P{n:02}USD", 100 + n, CENT, trades=RATE, quotes=0)
            for n in range(PAIRS)
        ),
        jitter=2.0,
        duplicates=0.02,
        malformed=0.001,
        late=0,
        quiet=None,
        outage=None,
        decide_every=0,
    )
    sent = trades = 0
    with Publisher(settings.kafka) as publisher:
        for record in simulate(plan):
            publisher.send_raw(record.topic, record.key, record.value)
            sent += 1
            trades += (
                record.intent == "good"
                and isinstance(record.event, Tick)
                and record.event.kind == "trade"
            )
        clock_beats(publisher, plan.start + timedelta(seconds=seconds + 8))
    return sent, trades


def stored(catalog: Catalog, table: str) -> int:
    """Rows of a table, from its newest snapshot's summary."""
    snapshot = catalog.load_table(("bronze", table)).current_snapshot()
    return int(snapshot.summary["total-records"] or 0) if snapshot and snapshot.summary else 0


def trades_in_bars(catalog: Catalog) -> int:
    """How many trades the bars hold."""
    found = catalog.load_table(("bronze", "market_bars_5s")).scan(selected_fields=("trade_count",))
    return sum(found.to_arrow()["trade_count"].to_pylist())


def await_trades(catalog: Catalog, trades: int) -> None:
    """Wait for all trades in raw_trades and in the bars.

    Raises:
        SystemExit: they do not come, or too many do.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if stored(catalog, "raw_trades") >= trades and trades_in_bars(catalog) >= trades:
            break
        time.sleep(2)
    found = stored(catalog, "raw_trades"), trades_in_bars(catalog), stored(catalog, "late_trades")
    if found != (trades, trades, 0):
        raise SystemExit(f"wrong: {trades} trades sent; stored, in bars, late: {found}")


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """User and system time since their start."""
    return sum(p.cpu_times().user + p.cpu_times().system for p in processes)


def peak_mb(process: psutil.Process) -> float:
    """Highest resident memory, MB."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Run it and print the figures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--ticks", type=int, default=1_000_000)
    ticks = arguments.parse_args().ticks
    names = ("postgres_port", "kafka_port", "kafka_controller_port", "flink_port", "trino_port")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        local = LocalSettings.model_validate(
            # without the ahead-of-time caches: a run that writes one is slower
            {n: any_free() for n in names} | {"home": home, "fast_start": False}
        )
        settings = load(local=local)
        try:
            stack.up(settings)
            measure(load(local=local), ticks)
        finally:
            stack.down(settings)


def measure(settings: Settings, ticks: int) -> None:
    """The two backlogs."""
    kafka.apply(settings.kafka, kafka.plan(settings.kafka))
    flink = [
        psutil.Process(one.pid)
        for one in stack.status(settings)
        if one.pid and one.name in ("jobmanager", "taskmanager")
    ]
    steal = psutil.cpu_times().steal
    began = time.monotonic()
    with connect(settings.catalog) as catalog:
        lake.apply(catalog, tables(), lake.plan(catalog, tables()))
        console.step(f"publishing {ticks:,} ticks")
        sent, trades = publish(settings, ticks, seed=1)
        idle = cpu_seconds(flink)
        given = JobSettings(kafka=settings.kafka, catalog=settings.catalog, flink=settings.flink)
        Cluster(given).submit("ticks", client_environment(settings))
        await_trades(catalog, trades)
        cold = cpu_seconds(flink)
        console.step(f"publishing {ticks:,} more")
        more_sent, more_trades = publish(settings, ticks, seed=2)
        await_trades(catalog, trades + more_trades)
        warm = cpu_seconds(flink)
        files = catalog.load_table(("bronze", "raw_trades")).inspect.files().to_pylist()
    size = sum(f["file_size_in_bytes"] for f in files)
    load_average = psutil.getloadavg()[1]
    print(
        f"full job: {sent / cold:,.0f} events/CPU-s  ({sent:,} events, {cold:.1f} CPU-s with JVMs)"
    )
    print(f"  without the JVMs' own start: {sent / (cold - idle):,.0f} events/CPU-s")
    print(f"  warm, the next {more_sent:,}: {more_sent / (warm - cold):,.0f} events/CPU-s")
    print("  peak memory: " + ", ".join(f"{p.pid} {peak_mb(p):,.0f} MB" for p in flink))
    print(f"  raw_trades: {size / (trades + more_trades):.1f} bytes a row in {len(files)} files")
    print(
        f"  load {load_average:.1f} on {psutil.cpu_count()} CPUs, steal"
        f" {psutil.cpu_times().steal - steal:.1f} s in {time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
