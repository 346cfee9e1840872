"""Publishing a file: nothing before all is checked, paced by event time, closed at the end."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.errors import TicklakeError
from connectors.events import CLOCK, Tick
from flink_jobs.settings import FlinkSettings
from ticklake.publish import Checked, Clock, Sender, checked

START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


@dataclass
class World:
    """A wall clock that sleeping moves, and a publisher that remembers what came when."""

    now: datetime = START + timedelta(hours=1)
    records: list[tuple[float, int | None, Tick]] = field(default_factory=list)
    elapsed: float = 0.0
    flushed: int = 0
    reads: int = 0

    def read(self) -> bool:
        """A job that reads at once."""
        self.reads += 1
        return True

    def clock(self) -> Clock:
        """Its clock."""
        return Clock(now=lambda: self.now, monotonic=lambda: self.elapsed, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        """Time goes by."""
        assert seconds > 0
        self.elapsed += seconds
        self.now += timedelta(seconds=seconds)

    def send_raw(self, topic: str, key: bytes, value: bytes, partition: int | None = None) -> None:
        """Take a record."""
        assert topic == "market.ticks.v1"
        assert key
        self.records.append((self.elapsed, partition, Tick.model_validate_json(value)))

    def partitions(self, topic: str) -> int:
        """Two."""
        assert topic
        return 2

    def flush(self) -> None:
        """Deliver."""
        self.flushed = len(self.records)

    def ticks(self) -> list[tuple[float, str]]:
        """When each tick came."""
        return [(at, t.event_id) for at, _, t in self.records if t.source_provider != CLOCK]

    def beats(self) -> list[tuple[int | None, datetime]]:
        """Partition and event time of the clock's heartbeats."""
        return [(p, t.timestamp) for _, p, t in self.records if t.source_provider == CLOCK]


@pytest.fixture
def world() -> World:
    """A fresh one."""
    return World()


def ticks(tmp_path: Path, *seconds: float) -> Path:
    """A file with a trade at each of these seconds after the start."""
    file = tmp_path / "ticks.ndjson"
    lines = [
        {
            "event_id": f"t:{number}",
            "kind": "trade",
            "source_provider": "coinbase",
            "asset_pair": "BTCUSD",
            "timestamp": (START + timedelta(seconds=second)).isoformat(),
            "price": 1.5,
            "size": 2,
        }
        for number, second in enumerate(seconds)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def send(world: World, found: Checked, speed: float | None = None) -> Sender:
    """Send all of a file."""
    sender = Sender(world, speed, world.clock())  # type: ignore[arg-type]
    counts = list(sender.send(found))
    assert counts[-1] == found.count
    return sender


def test_all_lines_are_sent_in_order(tmp_path: Path, world: World) -> None:
    """First and last event time are the least and the greatest, not those of the lines."""
    with checked(ticks(tmp_path, 3, 1, 2), "tick", world.clock()) as found:
        send(world, found)

        assert [name for _, name in world.ticks()] == ["t:0", "t:1", "t:2"]
        assert (START + timedelta(seconds=1), START + timedelta(seconds=3)) == (
            found.first,
            found.last,
        )
    assert world.flushed == 3


def test_a_bad_line_in_the_middle_sends_nothing(tmp_path: Path, world: World) -> None:
    """The file is checked whole before anything leaves."""
    file = ticks(tmp_path, 1, 2, 3)
    file.write_text(file.read_text().replace('"size": 2', '"size": -2', 2).replace("-2", "2", 1))

    with (
        pytest.raises(TicklakeError, match="line 2: size is -2"),
        checked(file, "tick", world.clock()) as found,
    ):
        send(world, found)

    assert not world.records


def test_what_was_checked_is_what_is_sent(tmp_path: Path, world: World) -> None:
    """A file that changes meanwhile changes nothing."""
    file = ticks(tmp_path, 1, 2)

    with checked(file, "tick", world.clock()) as found:
        file.write_text("no longer an event\n")
        send(world, found)

    assert len(world.ticks()) == 2


def test_an_empty_file_is_no_fault(tmp_path: Path, world: World) -> None:
    """It has no times, and closing it sends nothing."""
    with checked(ticks(tmp_path), "tick", world.clock()) as found:
        send(world, found).close(found, FlinkSettings(), world.read)

    assert (found.count, found.first, found.last) == (0, None, None)
    assert not world.records


def test_speed_paces_by_event_time(tmp_path: Path, world: World) -> None:
    """Ten times real time: a record ten seconds later is sent a second later."""
    with checked(ticks(tmp_path, 0, 10, 5, 30), "tick", world.clock()) as found:
        sender = send(world, found, speed=10)

    assert world.ticks() == [(0, "t:0"), (1, "t:1"), (1, "t:2"), (3, "t:3")]
    assert sender.beats == len(world.beats())


def test_a_paced_file_keeps_every_partition_moving(tmp_path: Path, world: World) -> None:
    """Heartbeats come each second of waiting, and never make the next record late."""
    with checked(ticks(tmp_path, 0, 3.5), "tick", world.clock()) as found:
        send(world, found, speed=1)

    last = START + timedelta(seconds=3.5)
    assert {0, 1} == {partition for partition, _ in world.beats()}
    assert sorted({(at - START).total_seconds() for _, at in world.beats()}) == [1, 2, 3]
    assert all(at <= last for _, at in world.beats())


def test_closing_passes_the_last_window(tmp_path: Path, world: World) -> None:
    """A heartbeat behind the last window and the watermark's delay, another a checkpoint later."""
    flink = FlinkSettings(checkpoint_seconds=5, watermark_delay_seconds=2)
    with checked(ticks(tmp_path, 0, 10), "tick", world.clock()) as found:
        send(world, found).close(found, flink, world.read)

    target = START + timedelta(seconds=10 + 5 + 2 + 1)
    assert [(0, target), (1, target)] == world.beats()[:2]
    assert [(p, target + timedelta(milliseconds=1)) for p in (0, 1)] == world.beats()[2:]
    assert world.reads == 2


def test_closing_waits_rather_than_being_ahead_of_the_clock(tmp_path: Path, world: World) -> None:
    """A heartbeat ahead of the broker's clock would be a dead letter."""
    world.now = START + timedelta(seconds=10)
    with checked(ticks(tmp_path, 0, 10), "tick", world.clock()) as found:
        send(world, found).close(found, FlinkSettings(watermark_delay_seconds=2), world.read)

    assert START + timedelta(seconds=18) == world.beats()[0][1]
    assert all(at <= world.now for _, at in world.beats())


def test_a_time_in_the_far_future_does_not_close_by_it(tmp_path: Path, world: World) -> None:
    """One broken time must not move event time for all."""
    with checked(ticks(tmp_path, 0, 10_000_000), "tick", world.clock()) as found:
        send(world, found).close(found, FlinkSettings(watermark_delay_seconds=2), world.read)

    assert START + timedelta(seconds=8) == world.beats()[0][1]


@pytest.mark.parametrize("size", [0, 1, 1000, 2500])
def test_progress_ends_at_the_count(tmp_path: Path, world: World, size: int) -> None:
    """Whatever the size, the last count is all."""
    with checked(ticks(tmp_path, *range(size)), "tick", world.clock()) as found:
        counts: Iterator[int] = Sender(world, None, world.clock()).send(found)  # type: ignore[arg-type]

        assert size == list(counts)[-1]


def test_closing_says_when_no_job_reads(tmp_path: Path, world: World) -> None:
    """The second heartbeat waits for a checkpoint that holds the first."""
    with checked(ticks(tmp_path, 0), "tick", world.clock()) as found:
        closed = send(world, found).close(found, FlinkSettings(), lambda: False)

    assert not closed
    assert len(world.beats()) == 2  # one to each partition
