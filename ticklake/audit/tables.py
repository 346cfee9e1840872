"""Tables against receipts: as many rows as are counted, and each event once."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from connectors.stream import Event
from iceberg_catalog.tables import Table, table, tables
from ticklake import queries
from ticklake.audit.receipts import EVER, Chain, Receipt, end, span
from ticklake.audit.statements import count, is_late, named, text
from ticklake.settings import Settings

Outcome = Literal["stored", "late", "dead"]
OUTCOMES: tuple[Outcome, ...] = ("stored", "late", "dead")
Range = tuple[int, int, int]
"""Partition, first offset, the one behind the last."""

# Trino groups so many ids at once in a few hundred MB.
_IDS_AT_ONCE = 1_000_000


@dataclass
class Counted:
    """Rows looked at, and the first difference."""

    rows: int = 0
    difference: str | None = None


def of(event: type[Event]) -> list[Table]:
    """The tables that keep an event, those for late rows too."""
    return [stored for stored in tables() if stored.event is event]


def compare(
    settings: Settings, event: type[Event], chains: dict[int, Chain], *, from_start: bool
) -> Counted:
    """Whether the tables of an event hold what the receipts of its topic count.

    Args:
        settings: name the coordinator.
        event: whose tables.
        chains: partition to its receipts, none of them empty.
        from_start: rows before the first receipt count too, for there should be none.

    Raises:
        UnavailableError: Trino does not answer.
    """
    starts = {p: 0 if from_start else chain[0].first_offset for p, chain in chains.items()}
    ranges = [(p, starts[p], end(chain)) for p, chain in chains.items()]
    done = Counted()
    for outcome in OUTCOMES:
        held = _held(settings, event, outcome, ranges)
        done.rows += held.total()
        for partition, chain in chains.items():
            wanted = sum(getattr(receipt, outcome) for receipt in chain)
            if held[partition] != wanted and done.difference is None:
                done.difference = _narrowed(settings, event, outcome, chain, starts[partition])
    return done


def twice(settings: Settings, stored: Table, since: datetime | None) -> Counted:
    """The first event that a table holds more than once, with its files.

    A table of late rows may hold an id twice, but no offset.

    Raises:
        UnavailableError: Trino does not answer.
    """
    done = Counted(rows=int(queries.run(settings, text("row_count", stored)).rows[0][0]))
    slices = 1
    while slices * _IDS_AT_ONCE < done.rows:
        slices *= 2
    statement = text("twice_by_place" if is_late(stored) else "twice", stored)
    for part in range(slices if done.rows else 0):
        rows = queries.run(settings, statement, (slices - 1, part, since or EVER)).rows
        if rows:
            event_id, times, paths = rows[0]
            done.difference = (
                f"{named([stored])}: event {event_id} is there {times} times, in {paths}"
            )
            break
    return done


def _narrowed(
    settings: Settings, event: type[Event], outcome: Outcome, chain: Chain, start: int
) -> str:
    """The first receipt that differs, found by halves."""
    agree, differ = 0, len(chain)  # so many of the first receipts agree, so many do not
    while differ - agree > 1:
        middle = (agree + differ) // 2
        asked = _behind(chain, agree, middle, start)
        held = _held(settings, event, outcome, [asked]).total()
        if held == sum(getattr(receipt, outcome) for receipt in chain[agree:middle]):
            agree = middle
        else:
            differ = middle
    receipt = chain[differ - 1]
    asked = _behind(chain, agree, differ, start)
    held = _held(settings, event, outcome, [asked]).total()
    return _told(event, outcome, receipt, asked, held)


def _behind(chain: Chain, agree: int, until: int, start: int) -> Range:
    """From where the receipts end that agree, so that a hole between two is looked at too."""
    first = chain[agree - 1].next_offset if agree else start
    return chain[0].partition, first, chain[until - 1].next_offset


def _told(event: type[Event], outcome: Outcome, receipt: Receipt, asked: Range, held: int) -> str:
    counted = getattr(receipt, outcome)
    holders = named(_holders(event, outcome))
    wrong = "too few" if held < counted else "too many"
    before = f" (from offset {asked[1]} on)" if asked[1] < receipt.first_offset else ""
    return (
        f"{span(receipt)}{before}: {held} rows in {holders} are {wrong}; the receipt of "
        f"{receipt.origin} counts {counted} {outcome}"
    )


def _holders(event: type[Event], outcome: Outcome) -> list[Table]:
    if outcome == "dead":
        return [table("dead_letters")]
    return [stored for stored in of(event) if is_late(stored) == (outcome == "late")]


def _held(
    settings: Settings, event: type[Event], outcome: Outcome, ranges: Sequence[Range]
) -> Counter[int]:
    """Rows by partition."""
    found: Counter[int] = Counter()
    columns = [json.dumps(list(column)) for column in zip(*ranges, strict=True)]
    for stored in _holders(event, outcome):
        if outcome == "dead":
            places, values = "places_dead", [event.stream.topic]
        else:
            merged = outcome == "stored" and stored.source.late_name
            places, values = "places_on_time" if merged else "places", []
        rows = queries.run(settings, count(places, stored), [*columns, *values]).rows
        for partition, number in rows:
            found[partition] += number
    return found
