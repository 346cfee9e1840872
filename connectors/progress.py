"""How far a consumer group has come, as it says itself on the broker."""

import time
from typing import Any

from kafka import TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError

from connectors.kafka import admin
from connectors.settings import KafkaSettings

_POLL_SECONDS = 0.5
_LOAD_SECONDS = 30


def committed(settings: KafkaSettings, group: str, topic: str) -> dict[int, int]:
    """Up to which offset, exclusive, the group has committed; a partition without is left out.

    Raises:
        UnavailableError: the broker does not answer.
    """
    with admin(settings) as client:
        return offsets_of(client, group, topic)


def unread(settings: KafkaSettings, group: str, topic: str) -> int:
    """Records of the topic that the group has not committed yet.

    A Flink job commits its offsets to the broker when a checkpoint is complete, so 0 says that a
    checkpoint holds all of the topic.

    Raises:
        UnavailableError: the broker does not answer.
    """
    with admin(settings) as client:
        newest, read = _ends(client, topic), offsets_of(client, group, topic)
    return sum(end - read.get(partition, 0) for partition, end in newest.items())


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


def places(client: Any, topic: str) -> list[TopicPartition]:  # noqa: ANN401 - the client has no types
    """The partitions of a topic, in order."""
    (described,) = client.describe_topics([topic])
    return [
        TopicPartition(topic, p)
        for p in sorted(p["partition_index"] for p in described["partitions"])
    ]


def _ends(client: Any, topic: str) -> dict[int, int]:  # noqa: ANN401 - the client has no types
    asked = dict.fromkeys(places(client, topic), OffsetSpec.LATEST)
    found = client.list_partition_offsets(asked)
    return {place.partition: entry.offset for place, entry in found.items()}


def offsets_of(client: Any, group: str, topic: str) -> dict[int, int]:  # noqa: ANN401 - the client has no types
    """What `committed` gives, by an open client.

    Raises:
        kafka.errors.KafkaError: the broker refuses; one that still loads is given 30 s.
    """
    deadline = time.monotonic() + _LOAD_SECONDS
    while True:
        try:
            read = client.list_group_offsets({group: places(client, topic)})[group]
        except CoordinatorNotAvailableError:
            return {}  # no group has ever committed on this broker
        except CoordinatorLoadInProgressError:
            # a broker that has just started reads what groups committed before
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)
        else:
            return {p.partition: entry.offset for p, entry in read.items() if entry.offset >= 0}
