"""Read ranges of a topic again, as far as the broker still has them; nothing is committed."""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition

from connectors.errors import UnavailableError
from connectors.kafka import faults
from connectors.settings import KafkaSettings

_CONNECT_MS = 5_000
_POLL_MS = 1_000
_PATIENCE_SECONDS = 60.0
_RECORDS = 20_000
_FETCH_BYTES = 8 * 1024 * 1024


class Reader:
    """Reads records by their place. Use it as a context manager."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Connect.

        Raises:
            UnavailableError: the broker does not answer.
        """
        self._settings = settings
        with faults(settings):
            self._consumer: Any = KafkaConsumer(
                bootstrap_servers=settings.bootstrap_servers,
                bootstrap_timeout_ms=_CONNECT_MS,
                auto_offset_reset="none",
                enable_auto_commit=False,
                allow_auto_create_topics=False,
                max_partition_fetch_bytes=_FETCH_BYTES,
                metrics_enabled=False,
            )

    def __enter__(self) -> Self:
        """Nothing to open: it is connected."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect."""
        self._consumer.close()

    def kept(self, topic: str) -> dict[int, tuple[int, int]]:
        """What the broker has: partition to (first offset kept, offset behind the newest).

        Empty where there is no such topic.

        Raises:
            UnavailableError: the broker does not answer.
        """
        with faults(self._settings):
            found = self._consumer.partitions_for_topic(topic) or ()
            places = [TopicPartition(topic, partition) for partition in sorted(found)]
            if not places:
                return {}
            begins = self._consumer.beginning_offsets(places)
            ends = self._consumer.end_offsets(places)
        return {place.partition: (begins[place], ends[place]) for place in places}

    def records(
        self, topic: str, partition: int, first: int, behind: int
    ) -> Iterator[tuple[int, bytes | None]]:
        """Offset and value of each record in [first, behind), in order.

        Offsets without a record (transactions' markers, compaction) are passed over.

        Raises:
            UnavailableError: the broker does not answer, or has deleted what was asked for.
        """
        place = TopicPartition(topic, partition)
        with faults(self._settings):
            self._consumer.assign([place])
            self._consumer.seek(place, first)
        at = first
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while at < behind:
            with faults(self._settings):
                batch = self._consumer.poll(_POLL_MS, max_records=_RECORDS).get(place, ())
                position = self._consumer.position(place)
            for record in batch:
                if record.offset >= behind:
                    return
                yield record.offset, record.value
            if position > at:
                at, deadline = position, time.monotonic() + _PATIENCE_SECONDS
            elif time.monotonic() > deadline:
                raise UnavailableError(
                    f"Kafka at {self._settings.bootstrap_servers} gave nothing of {topic} "
                    f"partition {partition} from offset {at} for {_PATIENCE_SECONDS:.0f} s"
                )
