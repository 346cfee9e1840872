"""Our full job and its rivals on the same topic, in one run, held against the same ledger.

make bench-rivals
"""

import argparse
import resource
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

sys.path.insert(0, str(Path(__file__).parents[1]))

import full_job
import plain_python
from common import fresh_stack
from tape import Ledger
from tape import load as load_tape

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


def python_loop(trades: int) -> str:
    """The plain loop, in this process; its CPU-seconds are those since it began."""
    with fresh_stack() as settings, connect(settings.catalog) as catalog:
        ledger = load_tape(settings, full_job.TOPIC, trades)
        catalog.create_namespace("rival")
        catalog.create_table(("rival", "trades"), TRADES)
        catalog.create_table(("rival", "bars"), BARS)
        before = _cpu()
        loop = plain_python.run(settings.kafka.bootstrap_servers, full_job.TOPIC, catalog)
        used = _cpu() - before
        wrong = _wrong(loop, ledger)
        kept = f"{loop.dropped:,} malformed dropped, {len(loop.seen):,} ids kept"
    return (
        f"plain loop in Python: {ledger.records / used:,.0f} events/CPU-s "
        f"({used:.1f} CPU-s, {wrong}; {kept})"
    )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _wrong(loop: plain_python.Loop, ledger: Ledger) -> str:
    bars = loop.bars.refresh().scan().to_arrow()
    found = {"bars": bars.num_rows, "trades": pc.sum(bars["trade_count"]).as_py()}
    for name in ("open", "high", "low", "close"):
        found[name] = int(pc.sum(bars[name]).as_py() * 100)
    found["volume"] = int(pc.sum(bars["volume"]).as_py() * Decimal(10**8))
    return "exact" if found == ledger.bars else f"WRONG: {found}, the ledger has {ledger.bars}"


def main() -> None:
    """Both, and a line for each."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--trades", type=int, default=8_000_000)
    trades = arguments.parse_args().trades
    rival = python_loop(trades)
    ours = full_job.run("full", trades)
    all_used = sum(ours.used.values())
    print(rival)
    print(f"full job: {ours.records / all_used:,.0f} events/CPU-s ({all_used:.1f} CPU-s, exact)")


if __name__ == "__main__":
    main()
