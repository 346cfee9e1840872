"""Files of events."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import ndjson, words
from connectors.errors import TicklakeError
from connectors.events import AIDecision, Tick
from connectors.stream import columns

TRADE = {
    "event_id": "coinbase:trade:BTC-USD:1",
    "kind": "trade",
    "source_provider": "coinbase",
    "asset_pair": "BTCUSD",
    "timestamp": "2026-01-31T09:30:00.123456Z",
    "price": "61000.25",
    "size": "0.5",
}
DECISION = {
    "event_id": "d:1",
    "decision_id": "d",
    "asset_pair": "BTCUSD",
    "timestamp": "2026-01-31T09:30:00Z",
    "action": "BUY",
    "confidence": 80,
    "provider_name": "ensemble",
}


def parse(line: str | bytes, event: type = Tick) -> ndjson.Record:
    """One line, as the reader sees it."""
    return ndjson.Reader(event).parse(line if isinstance(line, bytes) else line.encode())


def line(**changed: object) -> str:
    """A trade with other values."""
    return json.dumps(TRADE | changed)


@pytest.mark.parametrize("name", words.event_names())
def test_every_event_can_be_named(name: str) -> None:
    """Each published event is found by its name."""
    assert name == words.event_name(ndjson.event_type(name))


def test_names_are_snake_case() -> None:
    """A run of capitals is one word."""
    assert {"tick", "ai_decision", "trade_execution"} <= set(words.event_names())


@pytest.mark.parametrize("event", words.event_names().values(), ids=lambda e: e.__name__)
def test_every_column_has_words(event: type) -> None:
    """What a column allows can be said of each column of each event."""
    assert all(words.allowed(column) for column in columns(event))


def test_epoch_milliseconds_and_iso_are_the_same_time() -> None:
    """A whole number is milliseconds since 1970."""
    iso = parse(line(timestamp="2026-01-31T10:30:00.123+01:00"))
    epoch = parse(line(timestamp=1769851800123))

    assert iso.value == epoch.value
    assert b'"timestamp":"2026-01-31T09:30:00.123000Z"' in epoch.value


@given(st.decimals(min_value="0.00000001", max_value="9999999999.99999999", places=8))
def test_a_decimal_keeps_every_digit(price: Decimal) -> None:
    """A price is the same number whether written as a number or as text, and on the wire."""
    text = format(price, "f")
    as_number = parse(line(price="@").replace('"@"', text))
    as_text = parse(line(price=text))

    assert as_text.value == as_number.value
    assert price == Decimal(json.loads(as_number.value)["price"])
    assert as_text.event == Tick.model_validate_json(as_text.value)


@given(
    st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1)),  # noqa: DTZ001 - zoned below
    st.integers(-12 * 60, 12 * 60),
)
def test_a_time_keeps_every_microsecond(moment: datetime, minutes: int) -> None:
    """A time in any zone is the same moment on the wire, in UTC."""
    at = moment.replace(tzinfo=UTC)
    shifted = (at + timedelta(minutes=minutes)).isoformat().replace("+00:00", "")
    sign = "-" if minutes < 0 else "+"
    zone = f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"

    record = parse(line(timestamp=shifted + zone))

    assert at == record.event.timestamp
    assert at == datetime.fromisoformat(json.loads(record.value)["timestamp"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"price": -1}, "price is -1; allowed is a decimal number above 0"),
        ({"price": "1.123456789"}, "8 behind it"),
        ({"price": True}, "price is true"),
        ({"kind": "rumour"}, 'kind is "rumour"; allowed is trade, quote or heartbeat'),
        ({"asset_pair": "btc"}, "capital letters"),
        ({"venue_sequence": True}, "venue_sequence is true; allowed is a whole number"),
        ({"venue_sequence": 1.0}, "venue_sequence is 1.0"),
        ({"trade_id": 5}, "trade_id is 5; allowed is text"),
        ({"is_mock": "yes"}, 'is_mock is "yes"; allowed is true or false'),
        ({"prise": 1}, "did you mean price?"),
        ({"bid": 1}, "bid does not belong to kind trade"),
        ({"price": None}, "price is required where kind is trade"),
        ({"timestamp": 1769851800}, "looks like seconds"),
        ({"timestamp": 1769851800123456}, "looks like micro- or nanoseconds"),
        ({"timestamp": "1769851800123"}, "epoch milliseconds as a number"),
        ({"timestamp": "2026-01-31T09:30:00"}, "ISO-8601 with a zone"),
        ({"timestamp": "2026-01-31T09:30:00.1234567Z"}, "ISO-8601 with a zone"),
        ({"timestamp": -5}, "not before 1970"),
        ({"timestamp": None}, "timestamp is null"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(changed: dict[str, object], said: str) -> None:
    """The message has the field, what was found and what is allowed."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse(line(**changed))

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "one JSON object a line"),
        ("{", "is not JSON"),
        (b"\xff{}", "is not UTF-8 (byte 1)"),
        ('{"price": NaN}', "holds NaN"),
        ('{"price": -Infinity}', "holds -Infinity"),
        ('{"kind": 1, "kind": 2}', "has the field 'kind' twice"),
        ('{"price": ' + "1" * 5000 + "}", "too many digits"),
        ("[" * 100_000, "nested too deeply"),
        ("{}", "is missing"),
    ],
)
def test_a_line_that_is_no_event_is_refused(text: str | bytes, said: str) -> None:
    """What is no JSON object of known fields is refused with its reason."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse(text)

    assert said in str(caught.value)


def test_a_document_keeps_its_numbers() -> None:
    """Numbers inside a document are JSON numbers again on the wire."""
    context = {"rsi": 55.25, "votes": [1, None, {"weight": 0.1}]}

    record = parse(json.dumps(DECISION | {"market_context": context}), AIDecision)

    assert context == json.loads(record.value)["market_context"]


def test_a_record_that_the_broker_would_refuse_is_refused_here() -> None:
    """A record larger than the topic takes never leaves the file."""
    with pytest.raises(ValueError, match="makes a record of"):
        parse(json.dumps(DECISION | {"market_context": {"text": "x" * 1_000_001}}), AIDecision)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_file_may_have_a_mark_and_blank_lines(tmp_path: Path, packed: bool) -> None:  # noqa: FBT001 - parametrised
    """A byte order mark and blank lines are no events; gzip is recognised by its bytes."""
    content = ("\ufeff" + line() + "\n\n  \n" + line(event_id="b")).encode()
    file = tmp_path / "ticks"
    file.write_bytes(gzip.compress(content) if packed else content)

    found = [record.event.event_id for record in ndjson.read(file, Tick)]

    assert [TRADE["event_id"], "b"] == found


def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path) -> None:
    """Blank lines count: the number is that of an editor."""
    file = tmp_path / "ticks.ndjson"
    file.write_text(line() + "\n\n" + line(size=-1) + "\n")

    with pytest.raises(TicklakeError, match=r"ticks\.ndjson line 3: size is -1") as caught:
        list(ndjson.read(file, Tick))

    assert caught.value.exit_code == 2


def test_a_broken_archive_is_one_sentence(tmp_path: Path) -> None:
    """A gzip file that was cut off is a fault of the file, not a traceback."""
    file = tmp_path / "ticks.gz"
    file.write_bytes(gzip.compress(line().encode() * 100)[:-20])

    with pytest.raises(TicklakeError, match="cannot read"):
        list(ndjson.read(file, Tick))


def test_a_missing_file_and_an_unknown_event_are_one_sentence(tmp_path: Path) -> None:
    """Both say what was asked for."""
    with pytest.raises(TicklakeError, match="No such file"):
        list(ndjson.read(tmp_path / "nix", Tick))
    with pytest.raises(TicklakeError, match="allowed are tick, candle"):
        ndjson.event_type("nix")
