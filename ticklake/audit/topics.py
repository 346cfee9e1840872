"""Topics against tables: each record that Kafka still has is a row, a dead letter or a copy."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json

from connectors.reading import Reader
from connectors.stream import Event
from ticklake import queries
from ticklake.audit import tables
from ticklake.audit.receipts import EVER, Chain, end, place
from ticklake.audit.statements import united
from ticklake.settings import Settings

_OFFSETS_AT_ONCE = 100_000
_DEAD = "dead_letters"
# Trino takes a statement of a million characters.
_MOST_TEXT = 500_000
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)

Rows = dict[int, list[tuple[str | None, str]]]
"""Offset to what came from there: event id and table."""


@dataclass
class Compared:
    """What was read of a part of a partition, and the first difference."""

    offsets: int = 0
    records: int = 0
    copies: int = 0
    difference: str | None = None


@dataclass
class _Copies:
    """Records without a row: copies, if their id is stored elsewhere. Event id to offset."""

    waiting: dict[str, int] = field(default_factory=dict)
    text: int = 0
    first: datetime = _LATEST
    last: datetime = EVER

    def add(self, event_id: str, offset: int, moment: datetime) -> None:
        if event_id not in self.waiting:
            self.waiting[event_id] = offset
            self.text += len(event_id) + 1
        self.first, self.last = min(self.first, moment), max(self.last, moment)


def whole(chain: Chain, begin: int) -> Chain:
    """The receipts whose offsets the broker has all; `begin` is the first that it kept."""
    return [receipt for receipt in chain if receipt.first_offset >= begin]


def recorded_hole(reader: Reader, chain: Chain, ranges: Iterable[tuple[int, int]]) -> str | None:
    """The first record in offsets that no receipt covers, as a sentence.

    Raises:
        UnavailableError: Kafka does not answer.
    """
    topic, partition = chain[0].topic, chain[0].partition
    begin, _ = reader.kept(topic).get(partition, (0, 0))
    for first, behind in ranges:
        for offset, _ in reader.records(topic, partition, max(first, begin), behind):
            return (
                f"{place(chain[0])}, offset {offset}: Kafka has a record there, and no receipt "
                f"covers offsets {first} to {behind - 1}: they were not read"
            )
    return None


class Comparison:
    """Compares the topic of an event with its tables, partition by partition."""

    def __init__(self, settings: Settings, reader: Reader, event: type[Event]) -> None:
        """Nothing is asked yet."""
        self._settings = settings
        self._reader = reader
        self._time = event.stream.time
        self._topic = event.stream.topic or ""
        stored = tables.of(event)
        self._rows = united([*(("rows_of_range", one) for one in stored), ("dead_of_range", None)])
        self._ids = united(("stored_ids", one) for one in stored)
        self._tables = len(stored)

    def run(self, chain: Chain) -> Iterator[Compared]:
        """Compare one partition where its receipts cover it, part by part, up to a difference.

        At most 100,000 records and their rows are in memory at once.

        Args:
            chain: the partition's receipts that the broker has whole; not empty.

        Raises:
            UnavailableError: a server does not answer.
        """
        copies = _Copies()
        before: set[str] = set()
        records = 0
        for first, behind, read in self._chunks(chain):
            rows = self._stored(chain[0].partition, first, behind)
            ids = {i for here in rows.values() for i, _ in here if i is not None}
            done = Compared(offsets=behind - first)
            for event_id, offset, moment in self._compared(chain, read, rows, done):
                if event_id not in ids and event_id not in before:
                    copies.add(event_id, offset, moment)
                if copies.text > _MOST_TEXT:
                    done.difference = done.difference or self._missing(chain, copies)
                    copies = _Copies()
            before = ids
            records += done.records
            yield done
            if done.difference:
                return
        missing = self._missing(chain, copies)
        yield Compared(difference=missing or _recounted(chain, records))

    def _chunks(
        self, chain: Chain
    ) -> Iterator[tuple[int, int, Iterable[tuple[int, bytes | None]]]]:
        """First offset, the one behind the last, and the records between."""
        first, behind = chain[0].first_offset, end(chain)
        records = self._reader.records(self._topic, chain[0].partition, first, behind)
        done = 0
        for number, chunk in itertools.groupby(
            records, lambda record: (record[0] - first) // _OFFSETS_AT_ONCE
        ):
            for empty in range(done, number):
                yield (*_bounds(first, behind, empty), ())
            yield (*_bounds(first, behind, number), chunk)
            done = number + 1
        for empty in range(done, -(-(behind - first) // _OFFSETS_AT_ONCE)):
            yield (*_bounds(first, behind, empty), ())

    def _stored(self, partition: int, first: int, behind: int) -> Rows:
        values = [*(partition, first, behind) * (self._tables + 1), self._topic]
        found: Rows = {}
        for offset, event_id, table in queries.stream(self._settings, self._rows, values):
            found.setdefault(offset, []).append((event_id, table))
        return found

    def _compared(
        self,
        chain: Chain,
        records: Iterable[tuple[int, bytes | None]],
        rows: Rows,
        done: Compared,
    ) -> Iterator[tuple[str, int, datetime]]:
        """Event id, offset and event time of each record that has no row of its own."""
        for offset, value in records:
            done.records += 1
            here = rows.pop(offset, ())
            said = _event(value)
            event_id = said.get("event_id")
            for stored, table in here:
                if table != _DEAD and stored != event_id:
                    done.difference = done.difference or (
                        f"{place(chain[0])}, offset {offset}: bronze.{table} holds event {stored} "
                        f"from there, and the record is event {event_id}"
                    )
            if here:
                continue
            done.copies += 1
            moment = _moment(said.get(self._time))
            if not isinstance(event_id, str) or " " in event_id or moment is None:
                done.difference = done.difference or (
                    f"{place(chain[0])}, offset {offset}: the record is no event, and it is no "
                    "dead letter"
                )
                continue
            yield event_id, offset, moment
        for offset, here in sorted(rows.items())[:1]:
            done.difference = done.difference or (
                f"{place(chain[0])}, offset {offset}: bronze.{here[0][1]} holds event "
                f"{here[0][0]} from there, and Kafka has no record there"
            )

    def _missing(self, chain: Chain, copies: _Copies) -> str | None:
        if not copies.waiting:
            return None
        asked = " ".join(copies.waiting)
        values = (asked, copies.first, copies.last) * self._tables
        for row in queries.stream(self._settings, self._ids, values):
            copies.waiting.pop(row[0], None)
        if not copies.waiting:
            return None
        event_id, offset = min(copies.waiting.items(), key=lambda item: item[1])
        return (
            f"{place(chain[0])}, offset {offset}: event {event_id} is in the topic, and neither in "
            "a table nor among the dead letters"
        )


def _recounted(chain: Chain, records: int) -> str | None:
    counted = sum(receipt.records for receipt in chain)
    if records == counted:
        return None
    return (
        f"{place(chain[0])}: Kafka has {records} records at offsets {chain[0].first_offset} to "
        f"{end(chain) - 1}, and the receipts count {counted}"
    )


def _bounds(first: int, behind: int, number: int) -> tuple[int, int]:
    begin = first + number * _OFFSETS_AT_ONCE
    return begin, min(begin + _OFFSETS_AT_ONCE, behind)


def _event(value: bytes | None) -> dict[str, Any]:
    """The record's fields; none if it is no JSON object."""
    try:
        found = from_json(value or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else None
