"""Our full job and its rivals on the same topic, in one run, held against the same ledger.

make bench-rivals
python benchmarks/rivals/compare.py [--trades 8000000] [--only loop spark ours]
"""

import argparse
import json
import resource
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.compute as pc

sys.path.insert(0, str(Path(__file__).parents[1]))

import full_job
import plain_python
import spark_jars
from common import fresh_stack, job_settings
from pyiceberg.catalog import Catalog
from tape import Ledger
from tape import load as load_tape

from flink_jobs.cluster import Cluster
from iceberg_catalog.catalog import connect

TRADES = pa.schema(
    [(name, pa.string()) for name in plain_python.TEXTS]
    + [("timestamp", plain_python.UTC), ("price", plain_python.MONEY), ("size", plain_python.MONEY)]
    + [("_kafka_partition", pa.int32()), ("_kafka_offset", pa.int64())]
)
BARS = pa.schema(
    [("asset_pair", pa.string()), ("window_start", plain_python.UTC)]
    + [(name, plain_python.MONEY) for name in ("open", "high", "low", "close")]
    + [("volume", pa.decimal128(38, 8)), ("trade_count", pa.int64())]
)


SPARK = Path(__file__).parents[2] / "build" / "spark"


def python_loop(trades: int) -> str:
    """The plain loop, in this process; its CPU-seconds are those since it began."""
    with fresh_stack() as settings, connect(settings.catalog) as catalog:
        ledger = load_tape(settings, full_job.TOPIC, trades)
        _create(catalog, "trades", "bars")
        before = _cpu()
        loop = plain_python.run(settings.kafka.bootstrap_servers, full_job.TOPIC, catalog)
        used = _cpu() - before
        wrong = _wrong(catalog, "trades", "bars", ledger)
        kept = f"{loop.dropped:,} malformed dropped, {len(loop.seen):,} ids kept"
    return (
        f"plain loop in Python: {ledger.records / used:,.0f} events/CPU-s "
        f"({used:.1f} CPU-s, {wrong}; {kept})"
    )


def spark(trades: int, batch: int) -> str:
    """Spark's driver in a process of its own: it needs another py4j than Flink, and Java 21."""
    with fresh_stack() as settings, connect(settings.catalog) as catalog:
        ledger = load_tape(settings, full_job.TOPIC, trades)
        _create(catalog, "spark_trades", "spark_bars")
        spark_jars.fetched()
        steal = psutil.cpu_times().steal
        said = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("spark.py")), "--batch", str(batch)],
            env=Cluster(job_settings(settings)).environment({"PYTHONPATH": str(SPARK)}),
            check=True,
            stdout=subprocess.PIPE,
        )
        steal = psutil.cpu_times().steal - steal
        found = json.loads(said.stdout.splitlines()[-1])
        used = found["java"] + found["python"]
        wrong = _wrong(catalog, "spark_trades", "spark_bars", ledger)
    return (
        f"Spark Structured Streaming: {ledger.records / used:,.0f} events/CPU-s "
        f"({used:.1f} CPU-s, {wrong}; {ledger.records / (used - found['start']):,.0f} without the "
        f"JVM's start, {found['python']:.1f} CPU-s of it in Python, {found['batches']} batches, "
        f"peak {found['peak_mb']:,.0f} MB, steal {steal:.1f} s, load {psutil.getloadavg()[0]:.1f})"
    )


def ours(trades: int) -> str:
    """The full job, as `make bench` runs it."""
    found = full_job.run("full", trades)
    used = sum(found.used.values())
    return f"full job: {found.records / used:,.0f} events/CPU-s ({used:.1f} CPU-s, exact)"


def _create(catalog: Catalog, trades: str, bars: str) -> None:
    catalog.create_namespace("rival")
    catalog.create_table(("rival", trades), TRADES)
    catalog.create_table(("rival", bars), BARS)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _wrong(catalog: Catalog, trades: str, bars: str, ledger: Ledger) -> str:
    rows = catalog.load_table(("rival", bars)).scan().to_arrow()
    found = {"bars": rows.num_rows, "trades": pc.sum(rows["trade_count"]).as_py()}
    for name in ("open", "high", "low", "close"):
        found[name] = int(pc.sum(rows[name]).as_py() * 100)
    found["volume"] = int(pc.sum(rows["volume"]).as_py() * Decimal(10**8))
    ids = catalog.load_table(("rival", trades)).scan(selected_fields=("event_id",)).to_arrow()
    found |= {"rows": ids.num_rows, "ids": pc.count_distinct(ids["event_id"]).as_py()}
    right = ledger.bars | {"rows": ledger.trades, "ids": ledger.trades}
    return "exact" if found == right else f"WRONG: {found}, the ledger has {right}"


def main() -> None:
    """Each, and a line for each."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--trades", type=int, default=8_000_000)
    arguments.add_argument("--only", nargs="+", default=["loop", "spark", "ours"])
    arguments.add_argument("--batch", type=int, default=250_000, help="records, of Spark's")
    given = arguments.parse_args()
    runs = {
        "loop": lambda: python_loop(given.trades),
        "spark": lambda: spark(given.trades, given.batch),
        "ours": lambda: ours(given.trades),
    }
    print("\n".join([runs[name]() for name in given.only]))


if __name__ == "__main__":
    main()
