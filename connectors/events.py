"""THE declaration: every event, once.

Topic, key and value bytes, JSON Schema, Iceberg table, Flink DDL, SQLMesh's external models and
the data dictionary follow from these classes. To evolve one, add an optional field; anything else
is a new version of the topic.
"""

from typing import ClassVar, Literal

from pydantic import Field

from connectors.stream import (
    Amount,
    BronzeTable,
    Document,
    Event,
    Identifier,
    Name,
    Pair,
    Percent,
    Price,
    Score,
    Sequence,
    Size,
    Stream,
    Text,
    Time,
    Total,
    Volume,
)

CLOCK = "clock"
"""`source_provider` of the heartbeats that keep the watermark of every partition moving."""

TIMEFRAMES = ("1m", "5m", "15m", "1h", "4h", "1d")


class Tick(Event):
    """What happens at a venue at one moment: a trade, a quote or a heartbeat of the feed."""

    stream: ClassVar[Stream] = Stream(
        topic="market.ticks.v1",
        key="asset_pair",
        time="timestamp",
        select="kind",
        # a venue numbers what it streams, not what it answers when asked again
        varies=("venue_sequence",),
        tables=(
            BronzeTable(
                "raw_trades",
                "Every trade, once.",
                value="trade",
                required=("price", "size"),
                optional=("trade_id", "venue_sequence", "aggressor_side"),
                late_name="late_trades",
            ),
            BronzeTable(
                "raw_quotes",
                "Every best bid and ask, once.",
                value="quote",
                required=("bid", "ask"),
                optional=("bid_size", "ask_size", "venue_sequence"),
            ),
            BronzeTable(
                "feed_heartbeats",
                "Signs of life: of a venue's feed, and of the clock that keeps partitions moving.",
                value="heartbeat",
                optional=("venue_sequence", "trade_id"),
            ),
        ),
    )

    kind: Literal["trade", "quote", "heartbeat"] = Field(description="what this tick is")
    source_provider: Name = Field(description="venue or feed, such as coinbase")
    asset_pair: Pair = Field(description="what the desk calls it, such as BTCUSD")
    timestamp: Time = Field(description="event time at the venue, UTC")
    price: Price | None = Field(None, description="trade price, in the quote currency")
    size: Size | None = Field(None, description="traded amount, in the base currency")
    trade_id: Identifier | None = Field(
        None, description="the venue's trade id; on a heartbeat the newest one"
    )
    venue_sequence: Sequence | None = Field(
        None, description="the venue's sequence number; orders ticks of equal time"
    )
    aggressor_side: Literal["buy", "sell"] | None = Field(
        None, description="side of the taker, where the venue tells"
    )
    bid: Price | None = Field(None, description="best bid, in the quote currency")
    ask: Price | None = Field(None, description="best ask, in the quote currency")
    bid_size: Size | None = Field(None, description="amount at the best bid")
    ask_size: Size | None = Field(None, description="amount at the best ask")
    is_mock: bool = Field(default=False, description="simulated, never to be traded on")


class Candle(Event):
    """A bar as the venue itself publishes it."""

    stream: ClassVar[Stream] = Stream(
        topic="market.candles.v1",
        key="asset_pair",
        time="timestamp",
        select="timeframe",
        rules=(
            ("high", ">=", "low"),
            ("high", ">=", "open"),
            ("high", ">=", "close"),
            ("low", "<=", "open"),
            ("low", "<=", "close"),
        ),
        tables=tuple(
            BronzeTable(
                f"raw_market_data_{timeframe}",
                f"Bars of {timeframe} as the venues publish them.",
                value=timeframe,
                partition="month" if timeframe == "1d" else "day",
            )
            for timeframe in TIMEFRAMES
        ),
    )

    source_provider: Name = Field(description="venue or feed, such as coinbase")
    asset_pair: Pair = Field(description="what the desk calls it, such as BTCUSD")
    timeframe: Literal["1m", "5m", "15m", "1h", "4h", "1d"] = Field(description="length of the bar")
    timestamp: Time = Field(description="start of the bar, UTC")
    open: Price = Field(description="first price")
    high: Price = Field(description="highest price")
    low: Price = Field(description="lowest price")
    close: Price = Field(description="last price")
    volume: Volume = Field(description="traded amount, rounded half-even to 2 decimals")
    is_mock: bool = Field(default=False, description="simulated, never to be traded on")
    extracted_at: Time | None = Field(
        None, alias="_extracted_at", description="when the connector asked the venue, UTC"
    )
    ingestion_id: Identifier | None = Field(
        None, alias="_ingestion_id", description="the connector's run that fetched it"
    )
    source_file: Text | None = Field(
        None, alias="_source_file", description="file or request that it came from"
    )


class NewsSentiment(Event):
    """One article's sentiment for one ticker."""

    stream: ClassVar[Stream] = Stream(
        topic="news.sentiment.v1",
        key="ticker",
        time="timestamp",
        tables=(BronzeTable("raw_news_sentiment", "Sentiment of articles, by ticker."),),
    )

    source_provider: Name = Field(description="who rated the article")
    ticker: Pair = Field(description="what the article is about, such as BTC or AAPL")
    timestamp: Time = Field(description="when the article was published, UTC")
    title: Text = Field(description="headline")
    url: Text | None = Field(None, description="where the article is")
    summary: Text | None = Field(None, description="abstract by the provider")
    sentiment_score: Score = Field(description="-1 bearish to 1 bullish")
    relevance_score: Score | None = Field(None, description="0 to 1, how much it is about it")
    sentiment_label: Text | None = Field(None, description="the provider's word for the score")
    topics: Document | None = Field(None, description="topic to relevance, as the provider says")
    is_mock: bool = Field(default=False, description="simulated, never to be traded on")
    extracted_at: Time | None = Field(
        None, alias="_extracted_at", description="when the connector asked the provider, UTC"
    )


class MacroIndicator(Event):
    """One value of an economic series, as known at its release."""

    stream: ClassVar[Stream] = Stream(
        topic="macro.indicators.v1",
        key="indicator",
        time="timestamp",
        tables=(
            BronzeTable("raw_macro_indicators", "Economic series by release.", partition="month"),
        ),
    )

    source_provider: Name = Field(description="who publishes the series")
    indicator: Identifier = Field(description="the series, such as CPI or FEDERAL_FUNDS_RATE")
    timestamp: Time = Field(description="start of the period that the value is for, UTC")
    value: Amount = Field(description="the value, in `unit`")
    unit: Text | None = Field(None, description="such as percent or billions of USD")
    frequency: Literal["daily", "weekly", "monthly", "quarterly", "annual"] | None = Field(
        None, description="how often the series has a value"
    )
    revision: Sequence = Field(0, description="0 for the first release, then counted up")
    released_at: Time | None = Field(None, description="when this value became known, UTC")
    is_mock: bool = Field(default=False, description="simulated, never to be traded on")
    extracted_at: Time | None = Field(
        None, alias="_extracted_at", description="when the connector asked the provider, UTC"
    )


class AIDecision(Event):
    """What an AI provider, or the ensemble of them, decided about a pair."""

    stream: ClassVar[Stream] = Stream(
        topic="ai.decisions.v1",
        key="asset_pair",
        time="timestamp",
        tables=(BronzeTable("raw_ai_decisions", "Every revision of every AI decision."),),
    )

    decision_id: Identifier = Field(description="the desk's id of the decision")
    revision: Sequence = Field(0, description="0 first, counted up when the desk rewrites it")
    asset_pair: Pair = Field(description="what the desk calls it, such as BTCUSD")
    timestamp: Time = Field(description="when it was decided, UTC")
    action: Literal["BUY", "SELL", "HOLD", "NO_DECISION"] = Field(description="what to do")
    confidence: Percent = Field(description="0 to 100 percent")
    reasoning: Text | None = Field(None, description="the provider's own words")
    provider_name: Name = Field(description="model provider, or ensemble")
    ensemble_metadata: Document | None = Field(None, description="votes and weights, if several")
    market_context: Document | None = Field(None, description="what the provider was shown")
    is_mock: bool = Field(default=False, description="simulated, never to be traded on")
    extracted_at: Time | None = Field(
        None, alias="_extracted_at", description="when it was read from the desk, UTC"
    )


class TradeExecution(Event):
    """One step in the life of a position: opened by a fill, later closed or refused."""

    stream: ClassVar[Stream] = Stream(
        topic="trading.executions.v1",
        key="account",
        time="timestamp",
        tables=(BronzeTable("raw_trade_executions", "Every step of every position, once."),),
    )

    trade_id: Identifier = Field(description="the platform's id of the position")
    decision_id: Identifier | None = Field(None, description="the decision that led to it")
    account: Identifier = Field(description="account at the platform, hashed where private")
    asset_pair: Pair = Field(description="what the desk calls it, such as BTCUSD")
    platform: Name = Field(description="where it was executed")
    order_type: Literal["market", "limit", "stop", "stop_limit"] = Field(description="kind")
    side: Literal["BUY", "SELL"] = Field(description="side of the opening fill")
    quantity: Size = Field(description="amount, in the base currency")
    entry_price: Price = Field(description="average price of the opening fill")
    exit_price: Price | None = Field(None, description="average price of the closing fill")
    fee: Amount | None = Field(None, description="fees of this step, in the quote currency")
    timestamp: Time = Field(description="when this step happened, UTC")
    status: Literal["submitted", "open", "closed", "cancelled", "rejected"] = Field(
        description="the position after this step"
    )
    is_mock: bool = Field(default=False, description="simulated, never to be traded on")
    extracted_at: Time | None = Field(
        None, alias="_extracted_at", description="when it was read from the platform, UTC"
    )


class FeedStatus(Event):
    """A connector's word on its feed: connected or not, a gap seen or repaired."""

    stream: ClassVar[Stream] = Stream(
        topic="ops.feed-status.v1",
        key="source_provider",
        time="timestamp",
        tables=(BronzeTable("feed_status", "Connections, disconnections and gaps of feeds."),),
    )

    source_provider: Name = Field(description="the feed")
    asset_pair: Pair | None = Field(None, description="the pair, where it is about one")
    timestamp: Time = Field(description="when it happened, UTC")
    status: Literal["connected", "disconnected", "gap_opened", "gap_closed"] = Field(
        description="what happened"
    )
    first_missing_id: Identifier | None = Field(None, description="first trade id of the gap")
    last_missing_id: Identifier | None = Field(None, description="last trade id of the gap")
    detail: Text | None = Field(None, description="cause or method, in words")
    is_mock: bool = Field(default=False, description="simulated, never to be traded on")


class Bar5s(Event):
    """A bar of 5 seconds as the stream first sees it; silver holds the corrected versions.

    The topic is at-least-once with deterministic ids: readers keep the newest of one id.
    """

    stream: ClassVar[Stream] = Stream(
        topic="market.bars-5s.v1",
        key="asset_pair",
        time="window_start",
        made_by="flink",
        tables=(BronzeTable("market_bars_5s", "Bars of 5 seconds, once, from on-time ticks."),),
    )

    source_provider: Name = Field(description="venue or feed, such as coinbase")
    asset_pair: Pair = Field(description="what the desk calls it, such as BTCUSD")
    window_start: Time = Field(description="start of the window, inclusive, UTC")
    window_end: Time = Field(description="end of the window, exclusive, UTC")
    open: Price | None = Field(None, description="price of the first trade, by event time")
    high: Price | None = Field(None, description="highest price")
    low: Price | None = Field(None, description="lowest price")
    close: Price | None = Field(None, description="price of the last trade, by event time")
    volume: Total = Field(description="traded amount, in the base currency")
    vwap: Price | None = Field(None, description="sum(price * size) / volume, 8 decimals")
    trade_count: Sequence = Field(description="trades in the window; 0: heartbeats only")
    first_trade_id: Identifier | None = Field(None, description="the first trade's venue id")
    last_trade_id: Identifier | None = Field(None, description="the last trade's venue id")
    heartbeat_count: Sequence = Field(description="heartbeats of the venue in the window")
    is_mock: bool = Field(default=False, description="simulated, never to be traded on")


class DeadLetter(Event):
    """A record that could not be stored as an event, with its bytes unchanged."""

    stream: ClassVar[Stream] = Stream(
        key="topic",
        time="timestamp",
        made_by="flink",
        tables=(BronzeTable("dead_letters", "Records that broke a rule, bytes unchanged."),),
    )

    topic: Identifier = Field(description="the topic that it came from")
    partition: Sequence = Field(description="the partition there")
    offset: Sequence = Field(description="the offset there")
    timestamp: Time = Field(description="the broker's append time, UTC")
    error_code: Identifier = Field(description="kind of fault, such as missing_field")
    error_message: Text = Field(description="what was found and what is allowed")
    record_key: bytes | None = Field(None, description="the record's key, unchanged")
    payload: bytes | None = Field(None, description="the record's value, unchanged")
    headers: str | None = Field(
        None,
        description="the record's headers, in their order: JSON list of [name, base64]",
    )
    attempts: Sequence | None = Field(
        0, description="how often it was sent again before: the header ticklake-attempt, else 0"
    )


class DeadLetterReplay(Event):
    """A dead letter that was sent again to its topic, and where the broker put it.

    Its event_id is that place, topic:partition:offset: the id of the newer dead letter, should the
    record fail again.
    """

    stream: ClassVar[Stream] = Stream(
        key="dead_letter_id",
        time="replayed_at",
        made_by="replay",
        tables=(BronzeTable("dead_letter_replays", "Each sending again of a dead letter."),),
    )

    dead_letter_id: Identifier = Field(description="event_id of the dead letter")
    attempt: Sequence = Field(description="1 for its first sending again, then counted up")
    replayed_at: Time = Field(description="when it was sent, UTC")
    topic: Identifier = Field(description="the topic that it was sent to")
    partition: Sequence = Field(description="the partition that the broker put it in")
    offset: Sequence = Field(description="the offset there")
    value_sha256: Identifier = Field(description="SHA-256 of the value sent, in hexadecimal")
    fixed: bool = Field(description="whether another value was sent than the dead letter's own")
    sent_event_id: Identifier | None = Field(
        None, description="event_id in the value sent, where it could be read"
    )
    sent_event_time: Time | None = Field(
        None, description="event time in the value sent, where it could be read, UTC"
    )


class CommitReceipt(Event):
    """What one checkpoint of a job covers of one partition, and what became of each record.

    It is committed in the same checkpoint as the rows that it counts: records = stored + late +
    duplicates + dead. The ranges of one job follow one another without hole or overlap.
    """

    stream: ClassVar[Stream] = Stream(
        key="topic",
        time="timestamp",
        made_by="flink",
        tables=(BronzeTable("commit_receipts", "What each checkpoint covers, and its counts."),),
    )

    job: Identifier = Field(description="the job that read the records")
    job_id: Identifier = Field(description="Flink's id of the run, as in the snapshots' summaries")
    checkpoint_id: Sequence = Field(description="Flink's number of the checkpoint in that run")
    subtask: Sequence = Field(description="which parallel part of the job counted")
    topic: Identifier = Field(description="the topic")
    partition: Sequence = Field(description="the partition of the topic")
    first_offset: Sequence = Field(description="the lowest offset covered")
    next_offset: Sequence = Field(description="the offset behind the highest covered")
    records: Sequence = Field(description="records read")
    stored: Sequence = Field(description="new events, into the event's tables")
    late: Sequence = Field(description="new events behind their window, into the late tables")
    duplicates: Sequence = Field(description="copies of known events, stored nowhere")
    dead: Sequence = Field(description="into the dead letters")
    timestamp: Time = Field(description="append time of the newest record covered, UTC")


EVENTS: tuple[type[Event], ...] = tuple(Event.__subclasses__())
"""All of them, in the order of this file."""
