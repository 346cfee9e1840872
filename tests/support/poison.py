"""Records that producers really get wrong, each with the code that it deserves.

A case is one record on a topic. `code` None says that it is to be stored.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from poison_json import BROKEN_TEXT, BROKEN_UTF8
from poison_values import DECIMALS, TIMES, wrong_types

from connectors.events import (
    AIDecision,
    Candle,
    FeedStatus,
    MacroIndicator,
    NewsSentiment,
    Tick,
    TradeExecution,
)
from connectors.stream import Event, columns

LARGEST = 1024 * 1024
"""Bytes that a value may have; the job refuses more as `oversized`."""

AT = "2026-01-31T09:30:00.000000Z"
GOOD: dict[type[Event], dict[str, object]] = {
    Tick: {
        "kind": "trade",
        "source_provider": "poison",
        "asset_pair": "BTCUSD",
        "timestamp": AT,
        "price": "100.5",
        "size": "1",
    },
    Candle: {
        "source_provider": "poison",
        "asset_pair": "BTCUSD",
        "timeframe": "1m",
        "timestamp": AT,
        "open": "2",
        "high": "3",
        "low": "1",
        "close": "2",
        "volume": "10",
    },
    NewsSentiment: {
        "source_provider": "poison",
        "ticker": "BTC",
        "timestamp": AT,
        "title": "t",
        "sentiment_score": "0.5",
    },
    MacroIndicator: {
        "source_provider": "poison",
        "indicator": "CPI",
        "timestamp": AT,
        "value": "1.5",
    },
    AIDecision: {
        "decision_id": "d",
        "asset_pair": "BTCUSD",
        "timestamp": AT,
        "action": "BUY",
        "confidence": "80",
        "provider_name": "poison",
    },
    TradeExecution: {
        "trade_id": "t",
        "account": "a",
        "asset_pair": "BTCUSD",
        "platform": "poison",
        "order_type": "market",
        "side": "BUY",
        "quantity": "1",
        "entry_price": "1",
        "timestamp": AT,
        "status": "open",
    },
    FeedStatus: {"source_provider": "poison", "timestamp": AT, "status": "connected"},
}
"""A good event of each kind, without its event_id."""

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Case:
    """One record, and what is to become of it.

    Attributes:
        name: says what is wrong with it; unique.
        code: error code of its dead letter; None: it is stored.
        says: words that the dead letter's message has to hold.
        on_the_wire: it breaks a rule of the wire only: a file given to `publish` may hold it, or
            has no place for it.
    """

    name: str
    event: type[Event]
    value: bytes | None
    code: str | None
    key: bytes | None = b"BTCUSD"
    headers: Headers = ()
    says: str = ""
    on_the_wire: bool = False

    @property
    def topic(self) -> str:
        """Where it is sent to."""
        return self.event.stream.topic or ""

    @property
    def event_id(self) -> str:
        """The id that a stored one has."""
        return event_id(self.name)


def corpus() -> tuple[Case, ...]:
    """All cases, in the order in which they are to be sent."""
    return (*texts(), *objects(), *values(), *rules(), *records(), *versions(), *giants())


def event_id(name: str) -> str:
    """The id that the event of the case `name` has, if it can be read."""
    return f"poison:{zlib.crc32(name.encode()):08x}"


def good(event: type[Event], name: str, **changed: object) -> dict[str, object]:
    """A good event with the id of the case `name`; a field that is `...` is left out."""
    fields = {"event_id": event_id(name)} | GOOD[event] | changed
    return {key: value for key, value in fields.items() if value is not ...}


def packed(fields: dict[str, object]) -> bytes:
    """An object as JSON; lone surrogates stay escaped."""
    return json.dumps(fields, separators=(",", ":")).encode()


def with_raw(event: type[Event], name: str, field: str, raw: bytes) -> bytes:
    """A good event whose `field` is given as the JSON text `raw`, valid or not."""
    whole = packed(good(event, name, **{field: "@@"}))
    return whole.replace(b'"@@"', raw)


def texts() -> Iterator[Case]:
    """What is no JSON object in UTF-8 at all."""
    for name, make in BROKEN_TEXT:
        whole = packed(good(Tick, name))
        yield Case(name, Tick, make(whole), "not_json")
    for name, raw in BROKEN_UTF8:
        value = with_raw(AIDecision, name, "reasoning", b'"' + raw + b'"')
        yield Case(name, AIDecision, value, "not_json")
    for name, before, after in (
        ("blanks around", b" \t\r\n ", b" \r\n\t"),
        ("byte order mark", b"\xef\xbb\xbf", b""),
    ):
        whole = before + packed(good(Tick, name)) + after
        yield Case(name, Tick, whole, None, on_the_wire=True)


def objects() -> Iterator[Case]:
    """Fields that are there twice, foreign or missing; depth; text that is no text."""
    whole = packed(good(Tick, "x"))
    twice = "duplicate_field"
    yield Case("field twice", Tick, whole[:-1] + b',"price":"2"}', twice, says="price")
    yield Case("same value twice", Tick, whole[:-1] + b',"price":"100.5"}', twice)
    yield Case("escaped name twice", Tick, whole[:-1] + b',"pric\\u0065":"2"}', twice)
    yield Case("null, then a value", Tick, b'{"size":null,' + whole[1:], twice)
    yield Case("only an empty object", Tick, b"{}", "missing_field", says="event_id")
    for name, more in (
        ("unknown field", {"liquidity": "maker"}),
        ("unknown field without a value", {"liquidity": None}),
        ("field in capitals", {"Price": "1"}),
        ("field without a name", {"": "1"}),
        ("column of the lake", {"_kafka_offset": 1}),
        ("field of another kind", {"bid": "1"}),
        ("version as a field", {"schema_version": 1}),
    ):
        value = packed(good(Tick, name, **more))
        yield Case(name, Tick, value, "unknown_field", says=next(iter(more)))
    for event in GOOD:
        for column in columns(event):
            if column.required and column.default is None:
                for what, gone in (("missing", ...), ("null", None)):
                    name = f"{event.__name__}.{column.name} {what}"
                    value = packed(good(event, name, **{column.name: gone}))
                    yield Case(name, event, value, "missing_field", says=column.name)
    yield Case(
        "trade without a price",
        Tick,
        packed(good(Tick, "x", price=...)),
        "missing_field",
        says="required where kind is trade",
    )
    name = "optional field that is null"
    value = packed(good(Tick, name, trade_id=None, is_mock=None))
    yield Case(name, Tick, value, None, on_the_wire=True)
    nested = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    yield Case("nested 10,000 deep", Tick, nested, "unknown_field", says='"a"')
    yield Case("list nested 10,000 deep", Tick, b"[" * 10_000 + b"]" * 10_000, "not_json")
    value = with_raw(AIDecision, "x", "market_context", nested)
    yield Case("document 10,000 deep", AIDecision, value, "out_of_range")
    value = with_raw(AIDecision, "x", "reasoning", nested)
    yield Case("text that is 10,000 deep", AIDecision, value, "wrong_type", says="reasoning")
    for name, field, raw in (
        ("lone surrogate", "reasoning", b'"\\ud83d"'),
        ("surrogates turned round", "reasoning", b'"\\ude00\\ud83d"'),
        ("lone surrogate in a document", "market_context", b'{"a":"\\ud83d"}'),
        ("lone surrogate in a document's name", "market_context", b'{"\\ud83d":1}'),
    ):
        value = with_raw(AIDecision, name, field, raw)
        yield Case(name, AIDecision, value, "out_of_range", says=field)
    name = "surrogate in an identifier"
    yield Case(name, Tick, with_raw(Tick, name, "trade_id", b'"\\ud83d"'), "out_of_range")
    name = "pair of surrogates"
    yield Case(name, AIDecision, with_raw(AIDecision, name, "reasoning", b'"\\ud83d\\ude00"'), None)
    name = "escaped NUL in a text"
    yield Case(name, AIDecision, packed(good(AIDecision, name, reasoning="a\0b")), None)
    name = "escaped NUL in an identifier"
    yield Case(name, Tick, packed(good(Tick, name, trade_id="a\0b")), "out_of_range")


def values() -> Iterator[Case]:
    """One value of the wrong type or out of range in an otherwise good event."""
    for event in GOOD:
        for column in columns(event):
            for kind, wrong in wrong_types(column):
                name = f"{event.__name__}.{column.name} is {kind}"
                value = packed(good(event, name, **{column.name: wrong}))
                yield Case(name, event, value, "wrong_type", says=column.name)
    yield from decimals()
    yield from times()
    yield from ranges()


def decimals() -> Iterator[Case]:
    """Prices and volumes as texts and as numbers."""
    for text, code in DECIMALS:
        name = f"price {text[:24]}" + (f"... of {len(text)}" if len(text) > 24 else "")
        value = with_raw(Tick, name, "price", text.encode())
        yield Case(name, Tick, value, code, says="price" if code else "")
    for text in ('"1e400"', "1e999999999", '"1e99999999999"'):
        name = f"volume {text}"
        value = with_raw(Candle, name, "volume", text.encode())
        yield Case(name, Candle, value, "out_of_range", says="volume")
    for name, number in (("size 0", "0"), ("size of ten digits", "9999999999.99999999")):
        yield Case(name, Tick, packed(good(Tick, name, size=number)), None)


def times() -> Iterator[Case]:
    """Times of many forms, before 1970 and ahead of the broker's clock."""
    for text, code, on_the_wire in TIMES:
        name = f"time {text}"
        value = packed(good(Tick, name, timestamp=text))
        says = "timestamp" if code else ""
        yield Case(name, Tick, value, code, says=says, on_the_wire=on_the_wire)
    for number in (1_769_851_800, 1_769_851_800_000, 1_769_851_800_000_000, 1769851800.5):
        name = f"time as the number {number}"
        value = packed(good(Tick, name, timestamp=number))
        yield Case(name, Tick, value, "wrong_type", says="timestamp", on_the_wire=True)
    ahead = datetime.now(UTC) + timedelta(hours=1)
    for name, text in (
        ("an hour ahead", ahead.isoformat()),
        ("last day of year 9999", "9999-12-31T23:59:59Z"),
        ("year 10000", "+10000-01-01T00:00:00Z"),
        ("year 999999999", "+999999999-12-31T23:59:59Z"),
    ):
        value = packed(good(Tick, name, timestamp=text))
        case = Case(name, Tick, value, "future_timestamp", says="ahead", on_the_wire=True)
        yield replace(case)


def ranges() -> Iterator[Case]:
    """Values of the right type that are not allowed."""
    for event, field, wrong, code in (
        (Tick, "kind", "bar", "not_allowed"),
        (Tick, "kind", "TRADE", "not_allowed"),
        (Tick, "kind", "", "not_allowed"),
        (Tick, "aggressor_side", "BUY", "not_allowed"),
        (Candle, "timeframe", "2m", "not_allowed"),
        (AIDecision, "action", "buy", "not_allowed"),
        (Tick, "event_id", "", "out_of_range"),
        (Tick, "event_id", "a b", "out_of_range"),
        (Tick, "event_id", "größe", "out_of_range"),
        (Tick, "event_id", "a" * 257, "out_of_range"),
        (Tick, "asset_pair", "btcusd", "out_of_range"),
        (Tick, "asset_pair", "B", "out_of_range"),
        (Tick, "source_provider", "a/b", "out_of_range"),
        (Tick, "size", "-1", "out_of_range"),
        (Tick, "venue_sequence", -1, "out_of_range"),
        (Tick, "venue_sequence", 2**63, "out_of_range"),
        (AIDecision, "confidence", "100.0001", "out_of_range"),
        (AIDecision, "confidence", -1, "out_of_range"),
        (NewsSentiment, "sentiment_score", "-1.000001", "out_of_range"),
        (NewsSentiment, "title", "a" * 65_537, "out_of_range"),
    ):
        name = f"{event.__name__}.{field} = {str(wrong)[:20]}"
        value = packed(good(event, name, **{field: wrong}))
        yield Case(name, event, value, code, says=field)


def rules() -> Iterator[Case]:
    """Prices of a bar that cannot be."""
    for name, changed in (
        ("high below low", {"high": "1", "low": "3", "open": "2", "close": "2"}),
        ("open above high", {"open": "4"}),
        ("open below low", {"open": "0.5"}),
        ("close above high", {"close": "4"}),
        ("close below low", {"close": "0.5"}),
    ):
        value = packed(good(Candle, name, **changed))
        yield Case(name, Candle, value, "rule_broken", says="it must be")
    name = "flat bar"
    value = packed(good(Candle, name, open="1", high="1", low="1", close="1", volume="0"))
    yield Case(name, Candle, value, None)


def records() -> Iterator[Case]:
    """Records whose value, key or headers are the odd part."""
    yield Case("tombstone", Tick, None, "empty", on_the_wire=True)
    yield Case("empty value", Tick, b"", "empty", on_the_wire=True)
    bad = packed(good(Tick, "x", price="0"))
    yield Case("no key", Tick, bad, "out_of_range", key=None)
    yield Case("empty key", Tick, bad, "out_of_range", key=b"")
    yield Case("key that is no text", Tick, bad, "out_of_range", key=b"\xff\x00\xfe")
    odd: Headers = (("trace", b"\xff\x00"), ("trace", b""), ("größe", b"1"))
    yield Case("odd headers", Tick, bad, "out_of_range", headers=odd)
    for name, key in (("good without a key", None), ("good under a foreign key", b"\xff")):
        yield Case(name, Tick, packed(good(Tick, name)), None, key=key)


def versions() -> Iterator[Case]:
    """The header schema-version, which may say the version of the topic and nothing else."""
    wrong: tuple[tuple[bytes, ...], ...] = ((b"2",), (b"v1",), (b"1.0",), (b"",), (b"01",))
    for given in (*wrong, (b"1", b"2"), (b"\xff",)):
        name = f"schema version {b' then '.join(given)!r}"
        headers = tuple(("schema-version", value) for value in given)
        case = Case(name, Tick, packed(good(Tick, name)), "unknown_version", headers=headers)
        yield replace(case, says="takes 1", on_the_wire=True)
    # another version may be another format: it is not to be judged by the rules of this one
    name = "unknown version of what is no JSON"
    case = Case(name, Tick, b"{", "unknown_version", headers=(("schema-version", b"2"),))
    yield replace(case, says="takes 1", on_the_wire=True)
    for name, given in (("schema version 1", (b"1",)), ("schema version 2, then 1", (b"2", b"1"))):
        headers = tuple(("schema-version", value) for value in given)
        yield Case(name, Tick, packed(good(Tick, name)), None, headers=headers)


def giants() -> Iterator[Case]:
    """Records at the limit of 1 MiB; the broker counts bytes after compression, the job before."""
    for name, size, code in (
        ("at the limit", LARGEST, None),
        ("a byte above the limit", LARGEST + 1, "oversized"),
    ):
        whole = packed(good(Tick, name))
        yield Case(name, Tick, whole.ljust(size), code, on_the_wire=True)
    ten = packed(good(Tick, "10 MB")).ljust(10_000_000)
    yield Case("10 MB", Tick, ten, "oversized", on_the_wire=True)
    zipped = gzip.compress(packed(good(Tick, "x")), mtime=0)
    yield Case("gzip", Tick, zipped, "not_json")
