"""Publish a file of events: checked whole, then sent as checked, then maybe closed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

from connectors import ndjson
from connectors.events import Tick
from connectors.kafka import Publisher, clock_beats
from connectors.stream import Event
from flink_jobs.settings import FlinkSettings

_MEMORY_BYTES = 64 * 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WINDOW = timedelta(seconds=5)
_MARGIN = timedelta(seconds=1)
_BEAT_SECONDS = 1.0
_LONGEST_WAIT = timedelta(minutes=1)


@dataclass(frozen=True)
class Published:
    """What was sent; times are event times, `seconds` is the sending without the check."""

    event: str
    topic: str
    records: int
    check_seconds: float
    seconds: float
    per_second: float
    first_event_time: datetime | None
    last_event_time: datetime | None
    clock_beats: int = 0


@dataclass(frozen=True)
class Clock:
    """The wall clock and sleep; tests bring their own."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Checked:
    """A whole file that broke no rule, as bytes for the wire in a temporary file."""

    event: type[Event]
    count: int
    first: datetime | None
    last: datetime | None
    newest: datetime | None
    """The latest event time that is not in the future."""
    _spool: Any

    def records(self) -> Iterator[tuple[datetime, bytes, bytes]]:
        """Event time, key and value of each."""
        self._spool.seek(0)
        for line in self._spool:
            micros, key, value = line[:-1].split(b" ", 2)
            yield _EPOCH + int(micros) * _MICROSECOND, key, value


@contextmanager
def checked(file: Path, name: str, clock: Clock | None = None) -> Iterator[Checked]:
    """Read all of the file before anything is sent: a bad line in the middle publishes nothing.

    What is sent is what was checked, even where the file changes meanwhile.

    Args:
        file: one JSON object a line, plain or gzipped.
        name: what each line is, such as `tick`.
        clock: tells what is in the future.

    Raises:
        TicklakeError: names the first bad line.
    """
    event = ndjson.event_type(name)
    time_of = event.stream.time
    limit = (clock or Clock()).now()
    count, first, last, newest = 0, None, None, None
    with SpooledTemporaryFile(max_size=_MEMORY_BYTES) as spool:
        for record, key, value in ndjson.read(file, event):
            at = getattr(record, time_of)
            micros = (at - _EPOCH) // _MICROSECOND
            spool.write(b"%d %b %b\n" % (micros, key, value))
            count += 1
            first = at if first is None or at < first else first
            last = at if last is None or at > last else last
            if at <= limit and (newest is None or at > newest):
                newest = at
        yield Checked(event, count, first, last, newest, spool)


class Sender:
    """Sends a checked file, as fast as it can or at a multiple of the speed of its event times."""

    def __init__(self, publisher: Publisher, speed: float | None, clock: Clock) -> None:
        """Prepare.

        Args:
            publisher: where to.
            speed: 1 is real time, 10 is ten times as fast; None: no waiting.
            clock: the wall clock.
        """
        self._publisher = publisher
        self._speed = speed
        self._clock = clock
        self.beats = 0
        """Clock heartbeats sent to keep event time moving while waiting."""

    def send(self, found: Checked) -> Iterator[int]:
        """Send it, yielding the count so far now and then.

        Raises:
            TicklakeError: its topic does not exist.
            UnavailableError: something was not delivered.
        """
        topic = found.event.stream.topic or ""
        self._publisher.partitions(topic)  # the first to notice that there is no such topic
        pace = self._pace(found)
        for number, (at, key, value) in enumerate(found.records(), start=1):
            if pace is not None:
                pace(at)
            self._publisher.send_raw(topic, key, value)
            if number % 1000 == 0:
                yield number
        self._publisher.flush()
        yield found.count

    def _pace(self, found: Checked) -> Callable[[datetime], None] | None:
        if self._speed is None or found.first is None:
            return None
        clock, speed, first = self._clock, self._speed, found.first
        began = last_beat = clock.monotonic()
        beating = found.event is Tick

        def wait(at: datetime) -> None:
            nonlocal last_beat
            due = began + (at - first).total_seconds() / speed
            while True:
                now = clock.monotonic()
                if beating and now - last_beat >= _BEAT_SECONDS:
                    last_beat = now
                    # Never past the next record: a heartbeat ahead of it would make it late.
                    reached = min(first + timedelta(seconds=(now - began) * speed), at)
                    self._beat(reached)
                if now >= due:
                    return
                clock.sleep(min(due - now, _BEAT_SECONDS))

        return wait

    def _beat(self, at: datetime) -> None:
        self.beats += clock_beats(self._publisher, min(at, self._clock.now()))

    def close(self, found: Checked, flink: FlinkSettings, read: Callable[[], bool]) -> bool:
        """Let every window of the file close, and let the lake know that it is complete.

        One heartbeat to each partition moves event time past the last window. A second, when a
        checkpoint holds the first, settles its commit (see views/stream_progress.sql).

        Args:
            found: the file that was sent.
            flink: tells how far the watermark is behind.
            read: waits until a checkpoint holds all that was sent; False if none comes.

        Returns:
            Whether checkpoints hold both; False says that no job reads the topic.
        """
        if found.newest is None:
            return True
        clock = self._clock
        delay = timedelta(seconds=flink.watermark_delay_seconds)
        target = found.newest + _WINDOW + delay + _MARGIN
        ahead = target - clock.now()
        if timedelta(0) < ahead <= _LONGEST_WAIT:
            # A heartbeat ahead of the broker's clock would be a dead letter.
            clock.sleep(ahead.total_seconds())
        for moment in (target, target + timedelta(milliseconds=1)):
            self._beat(moment)
            self._publisher.flush()
            if not read():
                return False
        clock.sleep(_MARGIN.total_seconds())  # the commit follows its checkpoint at once
        return True
