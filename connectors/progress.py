"""How far a consumer group has come, as it says itself on the broker."""

import time

from kafka import TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import CoordinatorNotAvailableError

from connectors.kafka import admin
from connectors.settings import KafkaSettings

_POLL_SECONDS = 0.5


def unread(settings: KafkaSettings, group: str, topic: str) -> int:
    """Records of the topic that the group has not committed yet.

    A Flink job commits its offsets to the broker when a checkpoint is complete, so 0 says that a
    checkpoint holds all of the topic.

    Raises:
        UnavailableError: the broker does not answer.
    """
    with admin(settings) as client:
        (described,) = client.describe_topics([topic])
        places = [TopicPartition(topic, p["partition_index"]) for p in described["partitions"]]
        ends = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
        try:
            read = client.list_group_offsets({group: places})[group]
        except CoordinatorNotAvailableError:
            read = {}  # no group has ever committed on this broker
    committed = {place: read[place].offset if place in read else 0 for place in places}
    return sum(ends[place].offset - max(committed[place], 0) for place in places)


def await_read(
    settings: KafkaSettings, group: str, topic: str, patience_seconds: float = 30
) -> bool:
    """Wait until the group has committed all of the topic.

    Returns:
        False if it came no farther for `patience_seconds`: no job reads, or it is stuck.

    Raises:
        UnavailableError: the broker does not answer.
    """
    left = unread(settings, group, topic)
    deadline = time.monotonic() + patience_seconds
    while left > 0 and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        now_left = unread(settings, group, topic)
        if now_left < left:
            deadline = time.monotonic() + patience_seconds
        left = now_left
    return left <= 0
