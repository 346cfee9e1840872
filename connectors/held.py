"""What a topic still holds: offsets by partition, and by the broker's append time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kafka.admin import OffsetSpec
from kafka.errors import UnknownTopicOrPartitionError

from connectors.errors import TicklakeError
from connectors.kafka import admin
from connectors.progress import places
from connectors.settings import KafkaSettings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Held:
    """One partition: its first offset, the one behind its newest, when the first was appended."""

    first: int
    end: int
    first_at: datetime | None


@dataclass(frozen=True)
class Topic:
    """A topic at one moment.

    Attributes:
        partitions: what each of them holds.
        since: for each moment that was asked for, by partition the first offset that was appended
            then or later; the end, where there is none.
    """

    partitions: Mapping[int, Held]
    since: Mapping[datetime, Mapping[int, int]]


def look(settings: KafkaSettings, topic: str, moments: tuple[datetime, ...] = ()) -> Topic:
    """What the topic holds now.

    Raises:
        TicklakeError: there is no such topic.
        UnavailableError: the broker does not answer.
    """
    with admin(settings) as client:
        try:
            asked = places(client, topic)
        except UnknownTopicOrPartitionError:
            asked = []
        if not asked:
            raise TicklakeError(
                f"Kafka at {settings.bootstrap_servers} has no topic {topic}; create it by "
                "`ticklake apply`"
            )

        def offsets(of: int) -> dict[int, tuple[int, int]]:
            found = client.list_partition_offsets(dict.fromkeys(asked, of))
            return {p.partition: (entry.offset, entry.timestamp) for p, entry in found.items()}

        # the end last: what is told by time may not lie behind it
        firsts, oldest = offsets(OffsetSpec.EARLIEST), offsets(0)
        by_time = {moment: offsets(-((_EPOCH - moment) // _MILLISECOND)) for moment in moments}
        ends = offsets(OffsetSpec.LATEST)
    held = {
        partition: Held(
            first,
            ends[partition][0],
            _EPOCH + oldest[partition][1] * _MILLISECOND if oldest[partition][0] >= 0 else None,
        )
        for partition, (first, _) in firsts.items()
    }
    since = {
        moment: {
            partition: offset if offset >= 0 else ends[partition][0]
            for partition, (offset, _) in found.items()
        }
        for moment, found in by_time.items()
    }
    return Topic(held, since)
