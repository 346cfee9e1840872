"""The ceiling: a plain Java loop, Kafka to Parquet, on the same topic (java/.../Ceiling.java).

python benchmarks/ceiling.py [--trades 8000000]
"""

import argparse
import tempfile
from pathlib import Path

import psutil
from common import fresh_stack, java_program
from tape import load as load_tape

from connectors.events import Tick


def main() -> None:
    """Run it and print its line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--trades", type=int, default=8_000_000)
    trades = arguments.parse_args().trades
    topic = Tick.stream.topic or ""
    with fresh_stack() as settings, tempfile.TemporaryDirectory() as folder:
        ledger = load_tape(settings, topic, trades)
        target = Path(folder) / "trades.parquet"
        given = (settings.kafka.bootstrap_servers, topic, str(target))
        command = java_program(settings, Path(folder), "bench.Ceiling", *given)
        with psutil.Popen([command[0], "-XX:+UseParallelGC", *command[1:]], stdout=-1) as process:
            said = process.stdout.readline().split()
            times = process.cpu_times()
            process.wait(60)
        rows, size = int(said[0]), int(said[1])
        used = times.user + times.system
    if rows < ledger.trades:
        raise SystemExit(f"wrong: {rows} rows; {ledger.trades} trades were sent")
    print(
        f"ceiling, Kafka to Parquet in plain Java: {ledger.records / used:,.0f} events/CPU-s "
        f"({rows:,} rows with every copy, {used:.1f} CPU-s, {size / rows:.1f} B/row)"
    )


if __name__ == "__main__":
    main()
