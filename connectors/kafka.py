"""Topics as they follow from the declaration, and publishing without a silent loss."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, KafkaTimeoutError

from connectors.change import Change, require_none_refused
from connectors.errors import TicklakeError, UnavailableError
from connectors.events import CLOCK, EVENTS, Tick
from connectors.partitioner import RememberingPartitioner
from connectors.settings import KafkaSettings
from connectors.stream import Event

DEAD_LETTER_SUFFIX = ".dlq"

_DAY_MS = 24 * 60 * 60 * 1000
_DEAD_LETTER_DAYS = 30
_TOPIC_BYTES = 1024 * 1024
_CONNECT_MS = 5_000
_DELIVERY_SECONDS = 120
# Bounds the memory of records on their way; the client itself has no bound.
_MOST_IN_FLIGHT = 100_000
_DRAIN_EVERY = 4_096


@dataclass(frozen=True)
class Topic:
    """A topic as it is to be on the broker."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]


def topics(settings: KafkaSettings) -> tuple[Topic, ...]:
    """Each event's topic, and beside each that connectors publish to its dead-letter topic."""
    return tuple(
        topic
        for event in EVENTS
        if event.stream.topic
        for topic in _topics_of(event, event.stream.topic, settings)
    )


def dead_letter_topic(topic: str) -> str:
    """Where a topic's records go that could not be stored."""
    return topic + DEAD_LETTER_SUFFIX


def plan(settings: KafkaSettings) -> list[Change]:
    """What differs between the declared topics and the broker; other topics are left alone.

    Raises:
        UnavailableError: the broker does not answer.
    """
    with admin(settings) as client:
        present = _present(client)
        return [
            change
            for topic in topics(settings)
            for change in _differences(topic, present.get(topic.name))
        ]


def apply(settings: KafkaSettings, changes: Iterable[Change]) -> None:
    """Make the planned changes: topics are created, configured and grown, never deleted.

    Raises:
        TicklakeError: a change is refused; nothing is changed then.
        UnavailableError: the broker does not answer.
    """
    changes = list(changes)
    require_none_refused(changes)
    if not changes:
        return
    targets = {change.target for change in changes}
    with admin(settings) as client:
        present = _present(client)
        wanted = [topic for topic in topics(settings) if _target(topic) in targets]
        new = [topic for topic in wanted if topic.name not in present]
        if new:
            client.create_topics({t.name: _creation(t) for t in new}, wait_for_metadata=True)
        for topic in wanted:
            if topic.name in present:
                _alter(client, topic, present[topic.name])


class Publisher:
    """Sends events to their topics; a record that was not acknowledged is never passed over.

    Idempotent, acknowledged by all replicas in sync. Use it as a context manager: it flushes on
    the way out.
    """

    def __init__(self, settings: KafkaSettings, *, linger_ms: int = 20) -> None:
        """Connect.

        Args:
            settings: names the broker.
            linger_ms: how long a record may wait for others to share a batch with.

        Raises:
            UnavailableError: the broker does not answer.
        """
        self._settings = settings
        self.sent: Counter[str] = Counter()
        """Records handed over, by topic."""
        self._waiting: deque[Any] = deque()
        with faults(settings):
            # Without the package crc32c the client's checksum is pure Python, over what is left
            # after compression: zstd leaves least, and so sends fastest.
            self._producer = KafkaProducer(
                bootstrap_servers=settings.bootstrap_servers,
                bootstrap_timeout_ms=_CONNECT_MS,
                max_block_ms=_CONNECT_MS,
                delivery_timeout_ms=_DELIVERY_SECONDS * 1000,
                acks="all",
                enable_idempotence=True,
                compression_type="zstd",
                batch_size=256 * 1024,
                max_request_size=_TOPIC_BYTES,
                linger_ms=linger_ms,
                partitioner=RememberingPartitioner(),
                allow_auto_create_topics=False,
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
        """Flush unless an error is on its way already, and disconnect."""
        try:
            if error is None:
                self.flush()
        finally:
            self._producer.close(timeout=5)

    def send(self, event: Event) -> None:
        """Send an event to its topic, keyed as declared."""
        topic = event.stream.topic
        if topic is None:
            raise TypeError(f"{type(event).__name__} has no topic")
        self.send_raw(topic, event.key(), event.wire())

    def send_raw(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
    ) -> None:
        """Send bytes as they are.

        Raises:
            UnavailableError: the broker does not answer, or an earlier record was not delivered.
        """
        with faults(self._settings):
            self._waiting.append(self._producer.send(topic, value, key, partition=partition))
        self.sent[topic] += 1
        if len(self._waiting) % _DRAIN_EVERY == 0:
            self._drain(_MOST_IN_FLIGHT)

    def send_again(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]],
        stored: Callable[[int, int], object],
    ) -> None:
        """Send bytes with headers; `stored` is called, from another thread, with partition, offset.

        Raises:
            UnavailableError: the broker does not answer.
        """
        with faults(self._settings):
            future = self._producer.send(topic, value, key, headers=list(headers))
        future.add_callback(lambda place: stored(place.partition, place.offset))
        self._waiting.append(future)
        self.sent[topic] += 1

    def flush(self) -> None:
        """Return when everything sent is on the broker.

        Raises:
            UnavailableError: something is not; the message says how much.
        """
        with faults(self._settings):
            self._producer.flush(timeout=_DELIVERY_SECONDS)
        self._drain(0)

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has.

        Raises:
            TicklakeError: the broker has no such topic.
            UnavailableError: the broker does not answer.
        """
        with faults(self._settings):
            try:
                found = self._producer.partitions_for(topic)
            except KafkaTimeoutError as error:
                raise TicklakeError(
                    f"Kafka at {self._settings.bootstrap_servers} has no topic {topic}; create it "
                    "by `ticklake apply`"
                ) from error
        return len(found or ())

    def _drain(self, most: int) -> None:
        """Forget what is delivered; wait for the oldest while more than `most` are on their way."""
        waiting = self._waiting
        while waiting:
            oldest = waiting[0]
            if not oldest.is_done:
                if len(waiting) <= most:
                    return
                with faults(self._settings):
                    oldest.get(timeout=_DELIVERY_SECONDS)
            if oldest.failed():
                self._report_lost()
            waiting.popleft()

    def _report_lost(self) -> None:
        failed = [future for future in self._waiting if future.is_done and future.failed()]
        undecided = sum(not future.is_done for future in self._waiting)
        raise UnavailableError(
            f"{len(failed)} of {self.sent.total()} records were not delivered to "
            f"{self._settings.bootstrap_servers} and {undecided} are undecided: "
            f"{failed[0].exception}; send them again: what did arrive is recognised by its event_id"
        )


def clock_beats(publisher: Publisher, at: datetime) -> int:
    """Send one clock heartbeat to each partition of the ticks' topic, so that event time moves on.

    Args:
        publisher: where to.
        at: the event time up to which nothing more is to be waited for; not in the future.

    Returns:
        How many were sent.
    """
    topic = Tick.stream.topic or ""
    count = publisher.partitions(topic)
    for partition in range(count):
        beat = Tick(
            # Each beat is an event of its own: the same time said again later must count again.
            event_id=f"{CLOCK}:{partition}:{at.isoformat(timespec='microseconds')}:{time.time_ns()}",
            kind="heartbeat",
            source_provider=CLOCK,
            asset_pair=CLOCK.upper(),
            timestamp=at,
        )
        publisher.send_raw(topic, beat.key(), beat.wire(), partition)
    return count


def _topics_of(event: type[Event], name: str, settings: KafkaSettings) -> Iterator[Topic]:
    common = {
        # Retention goes by this time: with the record's own, old events would be deleted at once.
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "delete",
        "min.insync.replicas": str(max(1, settings.replication - 1)),
        "max.message.bytes": str(_TOPIC_BYTES),
    }
    retention = {"retention.ms": str(event.stream.retention_days * _DAY_MS)}
    yield Topic(name, settings.partitions, settings.replication, common | retention)
    if event.stream.made_by == "connectors":
        # A dead letter carries its reason beside the bytes: the largest record must still fit.
        room = {
            "max.message.bytes": str(2 * _TOPIC_BYTES),
            "retention.ms": str(_DEAD_LETTER_DAYS * _DAY_MS),
        }
        yield Topic(
            dead_letter_topic(name), settings.partitions, settings.replication, common | room
        )


@dataclass(frozen=True)
class _Present:
    partitions: int
    configs: Mapping[str, str]


def _present(admin: Any) -> dict[str, _Present]:  # noqa: ANN401 - the client has no types
    counts = {t["name"]: len(t["partitions"]) for t in admin.describe_topics()}
    if not counts:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in counts]
    configs = admin.describe_configs(resources, config_filter="all")["topic"]
    return {
        name: _Present(count, {key: entry["value"] for key, entry in configs[name].items()})
        for name, count in counts.items()
    }


def _differences(topic: Topic, present: _Present | None) -> Iterator[Change]:
    target = _target(topic)
    if present is None:
        days = int(topic.configs["retention.ms"]) / _DAY_MS
        detail = f"{topic.partitions} partitions, {topic.replication} replicas, kept {days:g} days"
        yield Change(target, "create", detail)
        return
    if present.partitions < topic.partitions:
        yield Change(
            target,
            "change",
            f"grow from {present.partitions} to {topic.partitions} partitions; keys move to other "
            "partitions from then on",
        )
    elif present.partitions > topic.partitions:
        yield Change(
            target,
            "refuse",
            f"has {present.partitions} partitions and kafka.partitions says {topic.partitions}; "
            f"partitions cannot be taken away, so set kafka.partitions to {present.partitions}",
        )
    for key, value in _changed(topic, present).items():
        yield Change(target, "change", f"config {key}: {present.configs.get(key)} to {value}")


def _changed(topic: Topic, present: _Present) -> dict[str, str]:
    return {k: v for k, v in topic.configs.items() if present.configs.get(k) != v}


def _alter(admin: Any, topic: Topic, present: _Present) -> None:  # noqa: ANN401 - the client has no types
    if present.partitions < topic.partitions:
        admin.create_partitions({topic.name: topic.partitions})
    if changed := _changed(topic, present):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, changed)
        outcome = admin.alter_configs([resource])["topic"][topic.name]
        if outcome != "OK":
            raise UnavailableError(f"{_target(topic)} was not configured: {outcome}")


def _creation(topic: Topic) -> dict[str, Any]:
    return {
        "num_partitions": topic.partitions,
        "replication_factor": topic.replication,
        "configs": dict(topic.configs),
    }


def _target(topic: Topic) -> str:
    return f"topic {topic.name}"


@contextmanager
def admin(settings: KafkaSettings) -> Iterator[Any]:
    """The admin client, closed on the way out; every fault is an UnavailableError."""
    with faults(settings):
        admin = KafkaAdminClient(
            bootstrap_servers=settings.bootstrap_servers, bootstrap_timeout_ms=_CONNECT_MS
        )
        try:
            yield admin
        finally:
            admin.close()


@contextmanager
def faults(settings: KafkaSettings) -> Iterator[None]:
    """Turn every fault of the broker into an UnavailableError of one sentence."""
    try:
        yield
    except KafkaError as error:
        raise UnavailableError(
            f"Kafka at {settings.bootstrap_servers}: {_reason(error)}; start the local stack by "
            "`ticklake up`, or set TICKLAKE_KAFKA__BOOTSTRAP_SERVERS"
        ) from error


def _reason(error: KafkaError) -> str:
    text = str(error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__


# The client logs each refused connection with a line of its own; the error says it once.
logging.getLogger("kafka").setLevel(logging.CRITICAL)
