"""What integration tests share beside the fixtures."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from kafka import KafkaConsumer, TopicPartition

from connectors import kafka
from connectors.events import Tick
from connectors.kafka import Publisher, clock_beats
from connectors.progress import await_read
from flink_jobs.cluster import Cluster
from flink_jobs.run import job
from flink_jobs.settings import JobSettings
from iceberg_catalog import apply as lake
from iceberg_catalog.catalog import connect
from iceberg_catalog.tables import tables
from ticklake import queries, views
from ticklake.local.flink import client_environment
from ticklake.settings import Settings

Query = Callable[[str], list[list[object]]]


def with_jobs(started: Settings, names: Iterable[str], checkpoint_seconds: float = 2) -> Settings:
    """Topics, tables, views and jobs on an empty stack.

    Much of a test is waiting for the next checkpoint, so these are near.
    """
    flink = started.flink.model_copy(update={"checkpoint_seconds": checkpoint_seconds})
    settings = started.model_copy(update={"flink": flink})
    kafka.apply(settings.kafka, kafka.plan(settings.kafka))
    with connect(settings.catalog) as catalog:
        lake.apply(catalog, tables(), lake.plan(catalog, tables()))
    views.apply(settings, views.plan(settings))
    for name in names:
        cluster_of(settings).submit(name, client_environment(settings))
    return settings


def query_of(settings: Settings) -> Query:
    """Ask the stack's Trino."""
    return lambda statement: queries.run(settings, statement).rows


def cluster_of(settings: Settings) -> Cluster:
    """The stack's Flink cluster."""
    return Cluster(
        JobSettings(kafka=settings.kafka, catalog=settings.catalog, flink=settings.flink)
    )


def beat_ticks(settings: Settings) -> int:
    """Send what the job `ticks` has to read, and wait until a checkpoint holds it; how many."""
    with Publisher(settings.kafka) as publisher:
        sent = clock_beats(publisher, datetime.now(UTC))
    assert await_read(settings.kafka, job("ticks").group, Tick.stream.topic or "", 120)
    return sent


def read_topic(settings: Settings, topic: str) -> list[object]:
    """All records of a topic, with key, value and headers."""
    consumer = KafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap_servers, consumer_timeout_ms=3000
    )
    try:
        found = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(found)
        consumer.seek_to_beginning(*found)
        return list(consumer)
    finally:
        consumer.close()
