"""What integration tests share beside the fixtures."""

from collections.abc import Callable

from kafka import KafkaConsumer, TopicPartition

from flink_jobs.cluster import Cluster
from flink_jobs.settings import JobSettings
from ticklake.settings import Settings

Query = Callable[[str], list[list[object]]]


def cluster_of(settings: Settings) -> Cluster:
    """The stack's Flink cluster."""
    return Cluster(
        JobSettings(kafka=settings.kafka, catalog=settings.catalog, flink=settings.flink)
    )


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
