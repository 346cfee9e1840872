"""What a Spark user would write: Structured Streaming from Kafka into two Iceberg tables.

Two queries in one driver that is also the only executor; each reads the topic and drops copies by
id within its watermark (RocksDB). The trades' query keeps an id for an hour, as our job does, the
bars' query for 10 seconds: a later copy is late there anyway. Spark has one watermark for all
partitions, which follows the newest time. The topic is a backlog, so the trigger is AvailableNow
with at most `--batch` records in a micro-batch: the work of a trigger of some seconds, each commit
of it, without waiting for the clock. What does not parse leaves no trace.

compare.py starts it with our settings in the environment; it prints what it used as JSON.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import psutil
import spark_java
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sql

from connectors.events import Tick
from flink_jobs.settings import JobSettings

TEXTS = ("event_id", "kind", "source_provider", "asset_pair", "price", "size", "trade_id")
SCHEMA = ", ".join(f"{name} STRING" for name in TEXTS) + ", timestamp TIMESTAMP"
STATE = "org.apache.spark.sql.execution.streaming.state"
MONEY = "try_cast({0} AS DECIMAL(18, 8)) AS {0}"


def connect(settings: JobSettings, folder: Path) -> SparkSession:
    """A session that knows the lake's catalog; the password is on no command line."""
    lake = settings.catalog
    catalog = f"spark.sql.catalog.{lake.name}"
    stores = "spark.sql.streaming.stateStore"
    given = {
        "spark.master": "local[*]",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(folder),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.adaptive.enabled": "false",  # no stateful query can use it
        "spark.sql.shuffle.partitions": str(os.cpu_count()),
        f"{stores}.providerClass": f"{STATE}.RocksDBStateStoreProvider",
        f"{stores}.rocksdb.changelogCheckpointing.enabled": "true",
        f"{stores}.rocksdb.trackTotalNumberOfRows": "false",
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        f"{catalog}.warehouse": lake.warehouse,
        f"{catalog}.uri": f"jdbc:{lake.uri}",
        f"{catalog}.jdbc.schema-version": "V1",
        f"{catalog}.jdbc.user": lake.user,
        f"{catalog}.jdbc.password": lake.password.get_secret_value(),
    }
    return SparkSession.builder.config(map=given).getOrCreate()


def trades(spark: SparkSession, settings: JobSettings, batch: int, remember: str) -> DataFrame:
    """The topic's trades, each once.

    The kind is asked after the copies are dropped: asked before, Spark would move the question
    in front of the watermark, which heartbeats then would not move. And `inline` of a single row
    keeps it from moving the next questions in front of the parse, which it then would repeat for
    each of them.
    """
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka.bootstrap_servers)
        .option("subscribe", Tick.stream.topic)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", batch)
        .load()
        .selectExpr(
            f"inline(array(from_json(CAST(value AS STRING), '{SCHEMA}')))",
            *("partition AS _kafka_partition", "offset AS _kafka_offset"),
        )
        .where("event_id IS NOT NULL AND timestamp IS NOT NULL")
        .withWatermark("timestamp", remember)
        .dropDuplicatesWithinWatermark(["event_id"])
        .where("kind = 'trade'")
        .selectExpr(
            *("event_id", "source_provider", "asset_pair", "timestamp"),
            *(MONEY.format("price"), MONEY.format("size")),
            *("_kafka_partition", "_kafka_offset", "try_cast(trade_id AS BIGINT) AS trade_id"),
        )
        .where("price IS NOT NULL AND size IS NOT NULL")
    )


def bars(found: DataFrame) -> DataFrame:
    """Bars of 5 seconds; first and last by event time, then trade id."""
    place = sql.struct("timestamp", "trade_id")
    return (
        found.groupBy("asset_pair", sql.window("timestamp", "5 seconds"))
        .agg(
            sql.min_by("price", place).alias("open"),
            sql.max("price").alias("high"),
            sql.min("price").alias("low"),
            sql.max_by("price", place).alias("close"),
            sql.sum("size").cast("DECIMAL(38, 8)").alias("volume"),
            sql.count("*").alias("trade_count"),
        )
        .select(
            *("asset_pair", sql.col("window.start").alias("window_start")),
            *("open", "high", "low", "close", "volume", "trade_count"),
        )
    )


def main() -> None:
    """Run both queries to the end of the topic."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--batch", type=int, default=250_000)
    batch = arguments.parse_args().batch
    settings = JobSettings()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        java = spark_java.start(folder)
        spark = connect(settings, folder)
        idle = psutil.Process(java.pid).cpu_times()
        queries = {
            "trades": trades(spark, settings, batch, "1 hour").drop("trade_id"),
            "bars": bars(trades(spark, settings, batch, "10 seconds")),
        }
        running = [
            query.writeStream.format("iceberg")
            .outputMode("append")
            .trigger(availableNow=True)
            .option("checkpointLocation", str(folder / "checkpoints" / table))
            .toTable(f"{settings.catalog.name}.rival.spark_{table}")
            for table, query in queries.items()
        ]
        for query in running:
            query.awaitTermination()
        batches = max(int(query.lastProgress["batchId"]) + 1 for query in running)
        spark.stop()
        java.stdin.close()
        used = os.wait4(java.pid, 0)[2]
    found = {"java": used.ru_utime + used.ru_stime, "start": idle.user + idle.system}
    found |= {"python": time.process_time(), "peak_mb": used.ru_maxrss / 1024, "batches": batches}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
