"""How soon an outside reader sees an event: 10,000 a second, checkpoints of 5 s and of 1 s.

A trade is fresh when a new Trino query first returns it, a bar when it is in Iceberg, or on the
topic market.bars-5s.v1. Figures are seconds: of trades since they were sent, of bars since their
window could close (its end and the watermark's delay). The clock is this machine's own. New JVMs
first compile their code, for which the first `--warm-up` seconds do not count.

    python benchmarks/freshness.py [--rate 10000] [--seconds 120] [--warm-up 60] [--checkpoint 5 1]
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from common import fresh_stack, java_program, job_settings
from kafka import KafkaConsumer, TopicPartition
from numpy.typing import NDArray

from connectors.events import Bar5s, Tick
from flink_jobs.cluster import Cluster
from iceberg_catalog.catalog import connect
from ticklake import console, queries
from ticklake.local.flink import client_environment
from ticklake.settings import Settings

PARTITIONS = 4
# As a dashboard asks: of the newest time only. A trade that comes later than that counts as seen
# with the first answer that has a later one.
SEEN = (
    "SELECT _kafka_partition, max(_kafka_offset) FROM bronze.raw_trades WHERE "
    "timestamp > current_timestamp - INTERVAL '20' SECOND GROUP BY 1"
)
BARS = (
    "SELECT coalesce(to_unixtime(max(window_end)), 0) FROM bronze.market_bars_5s WHERE "
    "window_start > current_timestamp - INTERVAL '1' MINUTE"
)

Numbers = NDArray[np.float64]


def percentiles(values: Numbers) -> str:
    """p50, p95, p99 and the greatest."""
    found = [*np.percentile(values, [50, 95, 99]), values.max()]
    return ", ".join(
        f"{n} {v:.2f}" for n, v in zip(("p50", "p95", "p99", "max"), found, strict=True)
    )


def watch(settings: Settings, seconds: float) -> tuple[list[tuple[float, dict[int, int]]], Numbers]:
    """Ask again and again; when each answer came: the newest offsets, and the newest bar's end."""
    seen: list[tuple[float, dict[int, int]]] = []
    bars: list[tuple[float, float]] = []
    deadline = time.time() + seconds
    while time.time() < deadline:
        rows = queries.run(settings, SEEN).rows
        seen.append((time.time(), {int(p): int(o) for p, o in rows}))
        rows = queries.run(settings, BARS).rows
        bars.append((time.time(), float(rows[0][0])))
        time.sleep(0.1)
    return seen, np.array(bars)


def of_trades(
    settings: Settings, seen: list[tuple[float, dict[int, int]]], since: float
) -> Numbers:
    """Seconds from sending to the first answer that had the trade."""
    with connect(settings.catalog) as catalog:
        columns = ("_kafka_partition", "_kafka_offset", "timestamp")
        rows = catalog.load_table(("bronze", "raw_trades")).scan(selected_fields=columns).to_arrow()
    partition = rows["_kafka_partition"].to_numpy()
    offset = rows["_kafka_offset"].to_numpy()
    sent = rows["timestamp"].cast("int64").to_numpy() / 1e6
    answered = np.array([at for at, _ in seen])
    found = []
    for one in range(PARTITIONS):
        newest = np.maximum.accumulate([offsets.get(one, -1) for _, offsets in seen])
        mine = (partition == one) & (sent > since)
        first = np.searchsorted(newest, offset[mine], side="left")
        known = first < len(answered)
        found.append(answered[first[known]] - sent[mine][known])
    return np.concatenate(found)


def of_bars(bars: Numbers, delay: float, since: float) -> Numbers:
    """Seconds from when a window could close to the first answer that had its bar."""
    ends, first = np.unique(bars[:, 1], return_index=True)
    late = bars[first, 0] - ends - delay
    return np.asarray(late[ends > since])


def on_the_topic(settings: Settings, delay: float, since: float) -> Numbers:
    """Seconds from when a window could close to its bar's append time on the topic."""
    topic = Bar5s.stream.topic or ""
    consumer = KafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap_servers, consumer_timeout_ms=3000
    )
    places = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    found = []
    for record in consumer:
        end = json.loads(record.value)["window_end"]
        closed = np.datetime64(end.removesuffix("Z"), "us").astype("int64") / 1e6 + delay
        if closed > since:
            found.append(record.timestamp / 1e3 - closed)
    consumer.close()
    return np.array(found)


def measure(checkpoint: float, rate: int, warm_up: int, seconds: int) -> list[str]:
    """One run on fresh servers."""
    with fresh_stack(checkpoint) as settings, tempfile.TemporaryDirectory() as folder:
        Cluster(job_settings(settings)).submit("ticks", client_environment(settings))
        topic = Tick.stream.topic or ""
        arguments = (
            settings.kafka.bootstrap_servers,
            topic,
            str(rate),
            str(warm_up + seconds),
        )
        command = java_program(settings, Path(folder), "bench.Live", *arguments)
        console.step(f"checkpoints of {checkpoint:g} s: {rate:,} trades a second for {seconds} s")
        since = time.time() + warm_up
        with subprocess.Popen(command) as market:
            seen, bars = watch(settings, warm_up + seconds)
            market.wait(60)
        delay = settings.flink.watermark_delay_seconds
        trades = of_trades(settings, seen, since)
        topic_bars = on_the_topic(settings, delay, since)
        head = f"checkpoints {checkpoint:g} s, {len(trades):,} trades at {rate:,}/s"
        return [
            f"{head}, load {psutil.getloadavg()[0]:.1f}:",
            f"  trade sent -> Trino: {percentiles(trades)}",
            f"  between two answers: {percentiles(np.diff([at for at, _ in seen if at > since]))}",
            f"  window could close -> bar in Trino: {percentiles(of_bars(bars, delay, since))}",
            f"  window could close -> bar on the topic: {percentiles(topic_bars)}",
        ]


def main() -> None:
    """Run it for each checkpoint interval and print the figures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rate", type=int, default=10_000)
    arguments.add_argument("--seconds", type=int, default=120)
    arguments.add_argument("--warm-up", type=int, default=60)
    arguments.add_argument("--checkpoint", type=float, nargs="+", default=[5, 1])
    given = arguments.parse_args()
    lines = [
        line
        for one in given.checkpoint
        for line in measure(one, given.rate, given.warm_up, given.seconds)
    ]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
