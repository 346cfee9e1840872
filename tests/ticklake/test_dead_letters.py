"""Choosing and showing dead letters."""

from datetime import UTC, datetime, timedelta

import pytest

from connectors.errors import TicklakeError
from ticklake.dead_letters import Selection, readable, since

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", NOW - timedelta(minutes=30)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-01-31T10:00:00+01:00", datetime(2026, 1, 31, 9, tzinfo=UTC)),
    ],
)
def test_since_is_a_span_or_a_time(text: str, expected: datetime) -> None:
    """A span counts back from now."""
    assert expected == since(text, NOW)


@pytest.mark.parametrize("text", ["yesterday", "30", "2026-01-31T10:00:00", "-5m"])
def test_another_since_is_refused(text: str) -> None:
    """The message lists what is allowed."""
    with pytest.raises(TicklakeError, match="allowed are 30m, 2h, 7d, or ISO-8601 with a zone"):
        since(text, NOW)


def test_values_are_bound_never_written_into_the_statement() -> None:
    """A quote in a value is a value."""
    where, values = Selection(code="x' OR '1'='1", topic="t", since=NOW).where()

    assert where == "error_code = ? AND topic = ? AND timestamp >= ?"
    assert values == ["x' OR '1'='1", "t", NOW]


def test_nothing_chosen_is_all() -> None:
    """No condition at all."""
    assert Selection().where() == ("TRUE", [])


def test_each_of_several_values_is_bound() -> None:
    """Ids and statuses are lists of any length."""
    where, values = Selection(ids=("a:0:1", "a:0:2"), statuses=("open",)).where()

    assert where == "event_id IN (?, ?) AND status IN (?)"
    assert values == ["a:0:1", "a:0:2", "open"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "(none)"),
        (b'{"a":1}\n', '{"a":1}\n'),
        ("größe".encode(), "größe"),
        (b"\xff\xfe A", "000000  ff fe 20 41                                      .. A"),
        (b"a\x00", "000000  61 00                                            a."),
    ],
)
def test_bytes_are_text_where_they_can_be(content: bytes | None, expected: str) -> None:
    """Control characters never reach a terminal."""
    assert expected == readable(content)
