"""Find dead letters in the lake, and what became of each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from connectors import headers
from connectors.errors import TicklakeError
from ticklake import queries
from ticklake.settings import Settings

STATUSES = ("open", "parked", "sent", "failed_again", "replayed", "duplicate")
"""As the view dead_letter_status has them; what needs someone first."""

_SPAN = re.compile(r"(\d{1,6})\s*([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DIGITS = 6
_LONGEST_CHAIN = 100


@dataclass(frozen=True)
class Selection:
    """Which dead letters; what is None or empty selects nothing out."""

    code: str | None = None
    topic: str | None = None
    since: datetime | None = None
    ids: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()

    def where(self) -> tuple[str, list[object]]:
        """A condition with `?` for each bound value."""
        conditions: dict[str, list[object]] = {
            "error_code = ?": [self.code],
            "topic = ?": [self.topic],
            "timestamp >= ?": [self.since],
            f"event_id IN ({_marks(self.ids)})": [*self.ids],
            f"status IN ({_marks(self.statuses)})": [*self.statuses],
        }
        used = {text: values for text, values in conditions.items() if values and values != [None]}
        return " AND ".join(used) or "TRUE", [value for values in used.values() for value in values]


@dataclass(frozen=True)
class Group:
    """Dead letters of one topic and fault, and how many of them are in each status."""

    topic: str
    error_code: str
    count: int
    first: datetime
    last: datetime
    example_id: str
    statuses: dict[str, int]


@dataclass(frozen=True)
class DeadLetter:
    """One record that could not be stored, its bytes unchanged, and what became of it."""

    id: str
    topic: str
    partition: int
    offset: int
    timestamp: datetime
    error_code: str
    error_message: str
    key: bytes | None = field(repr=False)
    payload: bytes | None = field(repr=False)
    headers: list[tuple[str, bytes]]
    attempts: int
    status: str
    earlier_id: str | None
    newer_id: str | None
    stored_table: str | None
    stored_partition: int | None
    stored_offset: int | None


@dataclass(frozen=True)
class Sending:
    """One sending again of a dead letter, and the place that the broker gave it."""

    dead_letter_id: str
    attempt: int
    replayed_at: datetime
    partition: int
    offset: int
    fixed: bool
    value_sha256: str


def since(text: str, now: datetime | None = None, option: str = "--since") -> datetime:
    """A time from `30m`, `2h`, `7d` (ago) or ISO-8601 with a zone.

    Raises:
        TicklakeError: it is neither.
    """
    if match := _SPAN.fullmatch(text.strip()):
        ago = timedelta(**{_UNITS[match[2]]: int(match[1])})
        return (now or datetime.now(UTC)) - ago
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise TicklakeError(
            f"{option} {text!r} is no time; allowed are 30m, 2h, 7d, or ISO-8601 with a zone "
            "such as 2026-01-31T09:30:00Z"
        )
    return found.astimezone(UTC)


def groups(settings: Settings, chosen: Selection, limit: int) -> list[Group]:
    """Count them by topic and fault, the newest first; the example is one that is open, if any."""
    where, values = chosen.where()
    counts = ", ".join(f"count_if(status = '{status}')" for status in STATUSES)
    rows = queries.run(
        settings,
        "SELECT topic, error_code, count(*), min(timestamp), max(timestamp), "  # noqa: S608 - bound
        "coalesce(max_by(event_id, timestamp) FILTER (WHERE status IN ('open', 'parked')), "
        f"max_by(event_id, timestamp)), {counts} FROM dead_letter_status WHERE {where} "
        f"GROUP BY topic, error_code ORDER BY 5 DESC, 1, 2 LIMIT {limit:d}",
        values,
    ).rows
    return [Group(*[*row[:6], dict(zip(STATUSES, row[6:], strict=True))]) for row in rows]


def count(settings: Settings, chosen: Selection) -> dict[tuple[str, str], int]:
    """How many there are by topic and status."""
    where, values = chosen.where()
    statement = (
        f"SELECT topic, status, count(*) FROM dead_letter_status WHERE {where} "  # noqa: S608 - bound
        "GROUP BY topic, status"
    )
    rows = queries.run(settings, statement, values).rows
    return {(str(topic), str(status)): int(number) for topic, status, number in rows}


def letters(settings: Settings, chosen: Selection) -> Iterator[DeadLetter]:
    """Each of them, in the order in which they arrived at their topic's partition."""
    where, values = chosen.where()
    statement = (
        'SELECT event_id, topic, "partition", "offset", timestamp, error_code, error_message, '  # noqa: S608 - bound
        "record_key, payload, headers, attempts, status, earlier_id, newer_id, stored_table, "
        f"stored_partition, stored_offset FROM dead_letter_status WHERE {where} "
        'ORDER BY topic, "partition", "offset"'
    )
    for row in queries.stream(settings, statement, values):
        row[9] = headers.unpacked(row[9])
        yield DeadLetter(*row)


def one(settings: Settings, event_id: str) -> DeadLetter:
    """The dead letter of that id.

    Raises:
        TicklakeError: there is none.
    """
    found = next(letters(settings, Selection(ids=(event_id,))), None)
    if found is None:
        raise TicklakeError(f"there is no dead letter {event_id}; `ticklake dlq list` shows ids")
    return found


def history(settings: Settings, of: DeadLetter) -> list[tuple[DeadLetter, list[Sending]]]:
    """The dead letters of one record, oldest first, each with its sendings again."""
    chain = [of]
    while (earlier := chain[0].earlier_id) and len(chain) < _LONGEST_CHAIN:
        chain.insert(0, one(settings, earlier))
    while (newer := chain[-1].newer_id) and len(chain) < _LONGEST_CHAIN:
        chain.append(one(settings, newer))
    ids = tuple(letter.id for letter in chain)
    statement = (
        'SELECT dead_letter_id, attempt, replayed_at, "partition", "offset", fixed, value_sha256 '  # noqa: S608 - bound
        f"FROM dead_letter_replays WHERE dead_letter_id IN ({_marks(ids)}) ORDER BY replayed_at"
    )
    sendings = [Sending(*row) for row in queries.run(settings, statement, ids).rows]
    return [(letter, [s for s in sendings if s.dead_letter_id == letter.id]) for letter in chain]


def readable(content: bytes | None) -> str:
    """Bytes for a person: text where they are text, else hexadecimal."""
    if content is None:
        return "(none)"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return _hexadecimal(content)
    return text if text.isprintable() or not _has_controls(text) else _hexadecimal(content)


def _marks(values: tuple[str, ...]) -> str:
    return ", ".join("?" for _ in values)


def _has_controls(text: str) -> bool:
    return any(not c.isprintable() and c not in "\n\t\r" for c in text)


def _hexadecimal(content: bytes) -> str:
    width = 16
    lines = []
    for start in range(0, len(content), width):
        part = content[start : start + width]
        shown = "".join(chr(b) if 32 <= b < 127 else "." for b in part)  # noqa: PLR2004 - printable ASCII
        lines.append(f"{start:0{_DIGITS}x}  {part.hex(' '):<{width * 3}} {shown}")
    return "\n".join(lines)
