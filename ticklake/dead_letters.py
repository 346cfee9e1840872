"""Find dead letters in the lake, and send them back to where they came from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from connectors import kafka
from connectors.errors import TicklakeError
from connectors.kafka import Publisher
from ticklake import queries
from ticklake.settings import Settings

_SPAN = re.compile(r"(\d{1,6})\s*([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DIGITS = 6


@dataclass(frozen=True)
class Selection:
    """Which dead letters; what is None selects nothing out."""

    code: str | None = None
    topic: str | None = None
    since: datetime | None = None
    id: str | None = None

    def where(self) -> tuple[str, list[object]]:
        """A condition with `?` for each bound value."""
        conditions = {
            "error_code = ?": self.code,
            "topic = ?": self.topic,
            "timestamp >= ?": self.since,
            "event_id = ?": self.id,
        }
        used = {text: value for text, value in conditions.items() if value is not None}
        return " AND ".join(used) or "TRUE", list(used.values())


@dataclass(frozen=True)
class Group:
    """Dead letters of one topic and fault."""

    topic: str
    error_code: str
    count: int
    first: datetime
    last: datetime
    example_id: str


@dataclass(frozen=True)
class DeadLetter:
    """One record that could not be stored, its bytes unchanged."""

    id: str
    topic: str
    partition: int
    offset: int
    timestamp: datetime
    error_code: str
    error_message: str
    key: bytes | None = field(repr=False)
    payload: bytes | None = field(repr=False)


@dataclass
class Replayed:
    """What a replay sent, by topic, and how many had neither key nor value to send."""

    sent: dict[str, int] = field(default_factory=dict)
    empty: int = 0


def since(text: str, now: datetime | None = None) -> datetime:
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
            f"--since {text!r} is no time; allowed are 30m, 2h, 7d, or ISO-8601 with a zone "
            "such as 2026-01-31T09:30:00Z"
        )
    return found.astimezone(UTC)


def groups(settings: Settings, chosen: Selection, limit: int) -> list[Group]:
    """Count them by topic and fault, the newest first."""
    where, values = chosen.where()
    rows = queries.run(
        settings,
        "SELECT topic, error_code, count(*), min(timestamp), max(timestamp), "  # noqa: S608 - bound
        f"max_by(event_id, timestamp) FROM dead_letters WHERE {where} "
        f"GROUP BY topic, error_code ORDER BY 5 DESC, 1, 2 LIMIT {limit:d}",
        values,
    ).rows
    return [Group(*row) for row in rows]


def count(settings: Settings, chosen: Selection) -> int:
    """How many there are."""
    where, values = chosen.where()
    statement = f"SELECT count(*) FROM dead_letters WHERE {where}"  # noqa: S608 - values are bound
    return int(queries.run(settings, statement, values).rows[0][0])


def letters(settings: Settings, chosen: Selection) -> Iterator[DeadLetter]:
    """Each of them, in the order in which they arrived at their topic's partition."""
    where, values = chosen.where()
    statement = (
        'SELECT event_id, topic, "partition", "offset", timestamp, error_code, error_message, '  # noqa: S608 - bound
        f"record_key, payload FROM dead_letters WHERE {where} "
        'ORDER BY topic, "partition", "offset"'
    )
    for row in queries.stream(settings, statement, values):
        yield DeadLetter(*row)


def one(settings: Settings, event_id: str) -> DeadLetter:
    """The dead letter of that id.

    Raises:
        TicklakeError: there is none.
    """
    found = next(letters(settings, Selection(id=event_id)), None)
    if found is None:
        raise TicklakeError(f"there is no dead letter {event_id}; `ticklake dlq list` shows ids")
    return found


def replay(settings: Settings, chosen: Selection) -> Replayed:
    """Send each back to its topic, key and bytes unchanged.

    Raises:
        TicklakeError: one came from a topic that is not declared any more.
        UnavailableError: Trino or Kafka does not answer, or something was not delivered.
    """
    _require_known_topics(settings, chosen)
    done = Replayed()
    with Publisher(settings.kafka) as publisher:
        for letter in letters(settings, chosen):
            if letter.key is None and letter.payload is None:
                done.empty += 1
                continue
            publisher.send_raw(letter.topic, letter.key, letter.payload)
        publisher.flush()
        done.sent |= publisher.sent
    return done


def _require_known_topics(settings: Settings, chosen: Selection) -> None:
    where, values = chosen.where()
    statement = f"SELECT DISTINCT topic FROM dead_letters WHERE {where}"  # noqa: S608 - bound
    found = {row[0] for row in queries.run(settings, statement, values).rows}
    known = {topic.name for topic in kafka.topics(settings.kafka)}
    if strange := sorted(found - known):
        raise TicklakeError(
            f"some came from {', '.join(strange)}, which is no declared topic; choose by --topic"
        )


def readable(content: bytes | None) -> str:
    """Bytes for a person: text where they are text, else hexadecimal."""
    if content is None:
        return "(none)"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return _hexadecimal(content)
    return text if text.isprintable() or not _has_controls(text) else _hexadecimal(content)


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
