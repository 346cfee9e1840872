"""Topics as declared, and a publisher that loses nothing silently."""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import pytest
from kafka.errors import KafkaConnectionError, KafkaTimeoutError

from connectors import kafka
from connectors.change import Change, require_none_refused
from connectors.errors import TicklakeError, UnavailableError
from connectors.events import EVENTS, Tick
from connectors.settings import KafkaSettings

SETTINGS = KafkaSettings(bootstrap_servers="127.0.0.1:1", partitions=4, replication=3)
AT = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


@dataclass
class Future:
    """What the client gives for one record."""

    exception: Exception | None = None
    is_done: bool = False

    def failed(self) -> bool:
        """Whether it is over, badly."""
        return self.is_done and self.exception is not None

    def get(self, timeout: float) -> Self:
        """Wait for it."""
        assert timeout > 0
        self.is_done = True
        if self.exception:
            raise self.exception
        return self


@dataclass
class Producer:
    """Stands for the client: remembers what was sent, delivers on flush."""

    options: dict[str, Any]
    records: list[tuple[str, bytes, bytes, int | None]] = field(default_factory=list)
    pending: deque[Future] = field(default_factory=deque)
    fail_at: int | None = None
    closed: bool = False

    def send(self, topic: str, value: Any, key: Any, partition: int | None = None) -> Future:  # noqa: ANN401
        """Take a record."""
        broken = len(self.records) == self.fail_at
        self.records.append((topic, key, value, partition))
        future = Future(KafkaTimeoutError("expired in the buffer") if broken else None)
        self.pending.append(future)
        return future

    def flush(self, timeout: float) -> None:
        """Deliver all."""
        assert timeout > 0
        while self.pending:
            self.pending.popleft().is_done = True

    def partitions_for(self, topic: str) -> set[int]:
        """Three of any topic that exists."""
        if topic == "nix":
            raise KafkaTimeoutError("Failed to update metadata")
        return {0, 1, 2}

    def close(self, timeout: float) -> None:
        """Disconnect."""
        assert timeout > 0
        self.closed = True


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> list[Producer]:
    """The stand-ins that are made, in their order."""
    made: list[Producer] = []

    def make(**options: Any) -> Producer:  # noqa: ANN401 - the client's options
        made.append(Producer(options))
        return made[-1]

    monkeypatch.setattr(kafka, "KafkaProducer", make)
    return made


def trade(number: int) -> Tick:
    """One trade."""
    return Tick.model_validate(
        {
            "event_id": f"t:{number}",
            "kind": "trade",
            "source_provider": "coinbase",
            "asset_pair": "BTCUSD",
            "timestamp": AT,
            "price": "1",
            "size": "1",
        }
    )


def test_each_published_event_has_a_topic_and_a_dead_letter_topic() -> None:
    """Topics that Flink makes have no dead letters: no job reads them."""
    found = {topic.name for topic in kafka.topics(SETTINGS)}
    published = {
        e.stream.topic for e in EVENTS if e.stream.topic and e.stream.made_by == "connectors"
    }
    made = {e.stream.topic for e in EVENTS if e.stream.topic and e.stream.made_by == "flink"}

    assert published | made | {f"{name}.dlq" for name in published} == found


@pytest.mark.parametrize("topic", kafka.topics(SETTINGS), ids=lambda t: t.name)
def test_every_topic_goes_by_arrival(topic: kafka.Topic) -> None:
    """Retention by the record's own time would delete old events at once."""
    days = int(topic.configs["retention.ms"]) / 86_400_000

    assert topic.configs["message.timestamp.type"] == "LogAppendTime"
    assert topic.configs["cleanup.policy"] == "delete"
    assert topic.configs["min.insync.replicas"] == "2"
    assert days in {7, 30}
    assert topic.partitions == 4


def test_a_dead_letter_has_room_for_its_reason() -> None:
    """The largest record fits into the dead-letter topic together with its headers."""
    sizes = {t.name: int(t.configs["max.message.bytes"]) for t in kafka.topics(SETTINGS)}

    assert sizes["market.ticks.v1.dlq"] > sizes["market.ticks.v1"]


def test_a_refused_change_is_one_sentence() -> None:
    """The first is named, the others are counted."""
    changes = [Change("topic a", "create", ""), Change("topic b", "refuse", "has 8 partitions")]

    with pytest.raises(TicklakeError, match=r"topic b: has 8 partitions \(and 1 more\); nothing"):
        require_none_refused([*changes, changes[1]])


def test_events_go_to_their_topic_with_their_key(producer: list[Producer]) -> None:
    """Key and value are the declared bytes, the partition is the client's choice."""
    with kafka.Publisher(SETTINGS) as publisher:
        publisher.send(trade(1))

    assert [("market.ticks.v1", b"BTCUSD", trade(1).wire(), None)] == producer[0].records
    assert publisher.sent == {"market.ticks.v1": 1}
    assert producer[0].closed


def test_the_producer_is_idempotent_and_waits_for_all(producer: list[Producer]) -> None:
    """What makes a retry harmless and an acknowledgement durable."""
    with kafka.Publisher(SETTINGS):
        options = producer[0].options

    assert (options["enable_idempotence"], options["acks"]) == (True, "all")
    assert options["allow_auto_create_topics"] is False


@pytest.mark.parametrize("broken", [0, 5, 9_999])
def test_a_record_that_was_not_delivered_is_never_passed_over(
    producer: list[Producer], broken: int
) -> None:
    """One failure among ten thousand is an error with exit code 3, and the client is closed."""

    def send_all() -> None:
        with kafka.Publisher(SETTINGS) as publisher:
            producer[0].fail_at = broken
            for number in range(10_000):
                publisher.send_raw("market.ticks.v1", b"k", b"%d" % number)

    with pytest.raises(UnavailableError, match="1 of 10000 records were not delivered") as caught:
        send_all()

    assert caught.value.exit_code == 3
    assert producer[0].closed


def test_records_on_their_way_are_bounded(
    producer: list[Producer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a bound the publisher waits for the oldest: memory does not grow with the file."""
    monkeypatch.setattr(kafka, "_MOST_IN_FLIGHT", 10_000)

    with kafka.Publisher(SETTINGS) as publisher:
        for _ in range(40_960):
            publisher.send_raw("market.ticks.v1", b"k", b"v")
        waiting = sum(not future.is_done for future in producer[0].pending)

    assert waiting <= 10_000 + 4_096


def test_one_clock_beat_to_each_partition(producer: list[Producer]) -> None:
    """Explicit partitions and ids of their own: each partition's event time moves on."""
    with kafka.Publisher(SETTINGS) as publisher:
        count = kafka.clock_beats(publisher, AT)

    beats = [Tick.model_validate_json(value) for _, _, value, _ in producer[0].records]
    assert count == 3
    assert [partition for *_, partition in producer[0].records] == [0, 1, 2]
    assert all(b.event_id.startswith(f"clock:{n}:2026-01-31T09:30:00") for n, b in enumerate(beats))
    assert {("heartbeat", "clock", "CLOCK", AT)} == {
        (b.kind, b.source_provider, b.asset_pair, b.timestamp) for b in beats
    }


def test_a_beat_said_again_counts_again(producer: list[Producer]) -> None:
    """The same time twice is two events: deduplication must not swallow the second."""
    with kafka.Publisher(SETTINGS) as publisher:
        kafka.clock_beats(publisher, AT)
        kafka.clock_beats(publisher, AT)

    ids = {Tick.model_validate_json(value).event_id for _, _, value, _ in producer[0].records}
    assert len(ids) == 6


@pytest.mark.usefixtures("producer")
def test_a_missing_topic_says_how_to_make_it() -> None:
    """The way out is `ticklake apply`."""
    with (
        pytest.raises(TicklakeError, match=r"no topic nix; create it by `ticklake apply`"),
        kafka.Publisher(SETTINGS) as publisher,
    ):
        publisher.partitions("nix")


def test_no_broker_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3, with the address and the setting."""

    def unreachable(**_: object) -> None:
        raise KafkaConnectionError

    monkeypatch.setattr(kafka, "KafkaProducer", unreachable)
    monkeypatch.setattr(kafka, "KafkaAdminClient", unreachable)

    for call in (kafka.Publisher, kafka.plan):
        with pytest.raises(UnavailableError, match=r"Kafka at 127\.0\.0\.1:1: .*BOOTSTRAP_SERVERS"):
            call(SETTINGS)
