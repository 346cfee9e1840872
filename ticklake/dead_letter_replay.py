"""Send dead letters again to where they came from, and note where the broker put them."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial

from connectors import headers
from connectors.errors import TicklakeError, UnavailableError
from connectors.events import DeadLetterReplay
from connectors.kafka import Publisher
from connectors.ndjson import LARGEST_RECORD, Reader, Record
from connectors.stream import Event
from iceberg_catalog.append import append, require
from iceberg_catalog.catalog import connect, faults
from ticklake import dead_letters
from ticklake.dead_letters import DeadLetter, Selection
from ticklake.fixes import Fix, event_of, readable_id
from ticklake.settings import Settings
from ticklake.views import MOST_ATTEMPTS

_TABLE = "dead_letter_replays"
_MOST_RECORDS = 1_000
_MOST_BYTES = 16 * 1024 * 1024
_ROOM_FOR_FRAME = 100
_AT_ONCE = 500


@dataclass(frozen=True)
class Options:
    """How to replay.

    Attributes:
        most_attempts: what was sent again so often is parked.
        again: also what was sent and has not arrived yet.
        fixes: by dead letter; where given, only these are sent, with these values.
    """

    most_attempts: int = MOST_ATTEMPTS
    again: bool = False
    fixes: Mapping[str, Fix] | None = None

    @property
    def statuses(self) -> tuple[str, ...]:
        """What may be sent: never what arrived, failed anew, or is stored."""
        return ("open", "parked", "sent") if self.again else ("open", "parked")

    def narrow(self, chosen: Selection) -> Selection:
        """Those of `chosen` that may be sent."""
        return replace(chosen, statuses=self.statuses)

    def parts(self, chosen: Selection) -> list[Selection]:
        """`chosen`, restricted to what has a fix, in parts that a statement has room for."""
        if self.fixes is None:
            return [chosen]
        ids = [i for i in self.fixes if not chosen.ids or i in chosen.ids]
        starts = range(0, len(ids), _AT_ONCE)
        return [replace(chosen, ids=tuple(ids[start : start + _AT_ONCE])) for start in starts]


@dataclass(frozen=True)
class Kept:
    """A dead letter that was not sent, and why not."""

    id: str
    why: str
    reason: str


@dataclass
class Replayed:
    """What a replay did.

    Attributes:
        sent: records by topic.
        parked: sent so often already that another time would not help.
        unsendable: without a value, or too large: only a fix can be sent.
        settled: of what was chosen, how many in each status that is never sent again.
    """

    sent: dict[str, int] = field(default_factory=dict)
    parked: list[Kept] = field(default_factory=list)
    unsendable: list[Kept] = field(default_factory=list)
    settled: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Sending:
    letter: DeadLetter
    record: Record | None
    value: bytes
    at: datetime

    def noted(self, partition: int, offset: int) -> DeadLetterReplay:
        """The row that links the dead letter to the place."""
        letter, event_id, time = self.letter, None, None
        event = self.record.event if self.record else _event(letter.topic, self.value)
        if event is not None:
            event_id, time = event.event_id, getattr(event, event.stream.time)
        return DeadLetterReplay(
            event_id=f"{letter.topic}:{partition}:{offset}",
            dead_letter_id=letter.id,
            attempt=letter.attempts + 1,
            replayed_at=self.at,
            topic=letter.topic,
            partition=partition,
            offset=offset,
            value_sha256=hashlib.sha256(self.value).hexdigest(),
            fixed=self.record is not None,
            sent_event_id=event_id or readable_id(self.value),
            sent_event_time=time,
        )


@dataclass(frozen=True)
class Plan:
    """What a replay would look at: how many in each status, and the selections to read them by."""

    options: Options
    parts: list[Selection]
    counts: dict[str, int]

    @property
    def count(self) -> int:
        """How many may be sent, the parked ones among them."""
        return sum(self.counts.get(status, 0) for status in self.options.statuses)


def plan(settings: Settings, chosen: Selection, options: Options) -> Plan:
    """Count what is to be sent.

    Raises:
        TicklakeError: one came from a topic that is not declared any more.
        UnavailableError: Trino does not answer.
    """
    parts = options.parts(chosen)
    counts: Counter[tuple[str, str]] = Counter()
    for part in parts:
        counts.update(dead_letters.count(settings, part))
    strange = {t for t, status in counts if status in options.statuses and event_of(t) is None}
    if strange:
        raise TicklakeError(
            f"some came from {', '.join(sorted(strange))}, which is no declared topic; choose by "
            "--topic"
        )
    found: Counter[str] = Counter()
    for (_, status), number in counts.items():
        found[status] += number
    return Plan(options, [options.narrow(part) for part in parts], dict(found))


def replay(settings: Settings, given: Plan) -> Replayed:
    """Send each again to its topic: key, value and headers unchanged, or the fix in its stead.

    First sent, then noted: were it noted first, a break between the two would lose the record.
    So it stays open, and sending it twice is harmless, for both have the same event_id.

    Raises:
        TicklakeError: there is no table to note them in.
        UnavailableError: a server does not answer, or something was not delivered; what was
            delivered is noted all the same.
    """
    options = given.options
    settled = {s: n for s, n in given.counts.items() if s not in options.statuses}
    done = Replayed(settled=settled)
    if not given.count:
        return done
    with faults(settings.catalog), closing(connect(settings.catalog)) as catalog:
        require(catalog, _TABLE)
    run = _Run(options, done)
    try:
        with Publisher(settings.kafka) as publisher:
            for part in given.parts:
                for letter in dead_letters.letters(settings, part):
                    run.send(publisher, letter)
            run.flush(publisher)
    finally:
        run.collect()
        _note(settings, run.rows)
    return done


class _Run:
    """One replay: what is on its way, and a row for each record that arrived."""

    def __init__(self, options: Options, done: Replayed) -> None:
        self.rows: list[DeadLetterReplay] = []
        self._options = options
        self._done = done
        self._arrived: list[tuple[_Sending, int, int]] = []
        self._records = self._bytes = 0

    def send(self, publisher: Publisher, letter: DeadLetter) -> None:
        fix = (self._options.fixes or {}).get(letter.id)
        if letter.attempts >= self._options.most_attempts:
            self._done.parked.append(_parked(letter))
            return
        key = fix.record.key if fix else letter.key
        value = fix.record.value if fix else letter.payload
        more = headers.sent_again(letter.headers, letter.id, letter.attempts + 1)
        size = _size(key, value or b"", more)
        if not value:
            self._keep(letter, "empty", "it has no value; only a fix has one")
        elif size > LARGEST_RECORD:
            self._keep(letter, "oversized", f"it has {size} bytes; {LARGEST_RECORD} can be sent")
        else:
            sending = _Sending(letter, fix.record if fix else None, value, datetime.now(UTC))
            publisher.send_again(letter.topic, key, value, more, partial(self._arrive, sending))
            self._records += 1
            self._bytes += size
            if self._records >= _MOST_RECORDS or self._bytes >= _MOST_BYTES:
                self.flush(publisher)

    def flush(self, publisher: Publisher) -> None:
        publisher.flush()
        self.collect()
        self._records = self._bytes = 0

    def collect(self) -> None:
        """Make rows of what has arrived, and let go of its bytes."""
        arrived, self._arrived = self._arrived, []
        self.rows += [sending.noted(p, o) for sending, p, o in arrived if o >= 0]
        for sending, _, _ in arrived:
            topic = sending.letter.topic
            self._done.sent[topic] = self._done.sent.get(topic, 0) + 1

    def _arrive(self, sending: _Sending, partition: int, offset: int) -> None:
        self._arrived.append((sending, partition, offset))

    def _keep(self, letter: DeadLetter, why: str, reason: str) -> None:
        self._done.unsendable.append(Kept(letter.id, why, reason))


def _note(settings: Settings, rows: list[DeadLetterReplay]) -> None:
    try:
        with faults(settings.catalog), closing(connect(settings.catalog)) as catalog:
            append(catalog, _TABLE, rows)
    except UnavailableError as error:
        raise UnavailableError(
            f"{len(rows)} records were sent and not noted in {_TABLE}: {error}; they stay open, "
            "and sending them again is harmless: a repeat is recognised by its event_id"
        ) from error


def _parked(letter: DeadLetter) -> Kept:
    last = f"{letter.error_code}: {letter.error_message}"
    return Kept(letter.id, "parked", f"sent again {letter.attempts} times; the last gave {last}")


def _size(key: bytes | None, value: bytes, more: headers.Headers) -> int:
    room = sum(len(name.encode()) + len(content) + 10 for name, content in more)
    return len(key or b"") + len(value) + room + _ROOM_FOR_FRAME


def _event(topic: str, value: bytes) -> Event | None:
    try:
        return _reader(topic).parse(value).event
    except ValueError:
        return None


@cache
def _reader(topic: str) -> Reader:
    event = event_of(topic)
    if event is None:
        raise ValueError(f"nothing is published to {topic}")
    return Reader(event)
