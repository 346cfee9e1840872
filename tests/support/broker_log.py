"""The broker's log: where topics end, and what stands between two ends."""

from collections.abc import Iterator, Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition


def positions(servers: str, topic: str) -> dict[int, int]:
    """The end of each partition."""
    consumer = KafkaConsumer(bootstrap_servers=servers)
    try:
        places = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
        return {place.partition: end for place, end in consumer.end_offsets(places).items()}
    finally:
        consumer.close()


def records(servers: str, topic: str, since: Mapping[int, int]) -> Iterator[Any]:
    """All records of a topic from the given offsets to the present end."""
    consumer = KafkaConsumer(bootstrap_servers=servers, consumer_timeout_ms=20_000)
    try:
        places = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
        ends = consumer.end_offsets(places)
        left = {p: ends[p] - since.get(p.partition, 0) for p in places}
        left = {p: n for p, n in left.items() if n > 0}
        consumer.assign(list(left))
        for place in left:
            consumer.seek(place, since.get(place.partition, 0))
        total = sum(left.values())
        for record in consumer if total else ():
            yield record
            total -= 1
            if total == 0:
                return
        if total:
            raise AssertionError(f"{topic}: {total} records cannot be read")
    finally:
        consumer.close()
