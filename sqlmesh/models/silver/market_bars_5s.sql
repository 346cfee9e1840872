MODEL (
  name silver.market_bars_5s,
  description 'Bars of 5 seconds from every trade that ever came, late ones too; a bar that changes counts its revision.',
  kind INCREMENTAL_BY_UNIQUE_KEY (
    unique_key (source_provider, asset_pair, window_start),
    batch_size 2016,
    when_matched (
      WHEN MATCHED AND (
        @changed(open, high, low, close, volume, trade_count, first_trade_id, last_trade_id)
      ) THEN UPDATE SET
        target.open = source.open,
        target.high = source.high,
        target.low = source.low,
        target.close = source.close,
        target.volume = source.volume,
        target.notional = source.notional,
        target.vwap = source.vwap,
        target.trade_count = source.trade_count,
        target.first_trade_id = source.first_trade_id,
        target.last_trade_id = source.last_trade_id,
        target.heartbeat_count = source.heartbeat_count,
        target.is_mock = source.is_mock,
        target._ingested_at = source._ingested_at,
        target.revision = target.revision + 1,
        target.corrected_at = source.updated_at,
        target.updated_at = source.updated_at,
        target.known_through = source.known_through
      WHEN MATCHED AND (
        @changed(notional, vwap, heartbeat_count, is_mock)
      ) THEN UPDATE SET
        target.notional = source.notional,
        target.vwap = source.vwap,
        target.heartbeat_count = source.heartbeat_count,
        target.is_mock = source.is_mock,
        target._ingested_at = source._ingested_at,
        target.updated_at = source.updated_at,
        target.known_through = source.known_through
    )
  ),
  partitioned_by (DAY(window_start)),
  physical_properties (format_version = 2, sorted_by = ARRAY['asset_pair', 'window_start']),
  grain (source_provider, asset_pair, window_start),
  signals (
    BRONZE_COMPLETE()
  ),
  audits (
    NOT_NULL(
      columns := (
        event_id,
        source_provider,
        asset_pair,
        window_start,
        window_end,
        volume,
        trade_count,
        revision
      ),
      condition := known_through >= @start_ts::TIMESTAMP(6) WITH TIME ZONE
    ),
    UNIQUE_COMBINATION_OF_COLUMNS(
      columns := (source_provider, asset_pair, window_start),
      condition := known_through >= @start_ts::TIMESTAMP(6) WITH TIME ZONE
    ),
    BARS_ARE_CONSISTENT
  ),
  column_descriptions (
    event_id = 'the same id as the stream gives the bar: source:bar5s:pair:window',
    source_provider = 'venue or feed, such as coinbase',
    asset_pair = 'what the desk calls it, such as BTCUSD',
    window_start = 'start of the window, inclusive, UTC',
    window_end = 'end of the window, exclusive, UTC',
    open = 'price of the first trade, by event time; null where there was no trade',
    high = 'highest price',
    low = 'lowest price',
    close = 'price of the last trade, by event time',
    volume = 'traded amount, in the base currency, exact',
    notional = 'sum(price * size), in the quote currency, exact: bars of any length add it up',
    vwap = 'notional / volume, rounded half up to 8 decimals; null where the volume is 0',
    trade_count = 'trades in the window; 0: heartbeats only',
    first_trade_id = 'venue id of the first trade',
    last_trade_id = 'venue id of the last trade',
    heartbeat_count = 'heartbeats of the venue in the window',
    is_mock = 'any of it is simulated',
    _ingested_at = 'append time of the newest tick in the window, UTC',
    revision = '0 at first, +1 whenever prices, volume, count or trade ids change',
    corrected_at = 'when the newest revision was made, UTC; null while revision is 0',
    updated_at = 'when this row was written, UTC',
    known_through = 'every arrival before this moment is in the row, UTC; drives what is built on it'
  )
);

/* By arrival, not by event time: a trade of last year that comes today corrects the bar of last year. One MERGE, so a
   reader sees the old bars or the new ones, and a run that changes nothing writes nothing. */
WITH trades AS (
  SELECT
    event_id,
    source_provider,
    asset_pair,
    "timestamp",
    price,
    size,
    trade_id,
    venue_sequence,
    is_mock,
    _kafka_partition,
    _kafka_offset,
    _ingested_at
  FROM bronze.raw_trades
  UNION ALL
  SELECT
    event_id,
    source_provider,
    asset_pair,
    "timestamp",
    price,
    size,
    trade_id,
    venue_sequence,
    is_mock,
    _kafka_partition,
    _kafka_offset,
    _ingested_at
  FROM bronze.late_trades
), arrivals AS (
  SELECT
    source_provider,
    asset_pair,
    "timestamp",
    _ingested_at
  FROM trades
  UNION ALL
  SELECT
    source_provider,
    asset_pair,
    "timestamp",
    _ingested_at
  FROM bronze.feed_heartbeats
), touched AS (
  /* Windows that something came for, and those that have closed since the last run. One that is still open is left out:
     the run after its close finds it again, because the arrivals are read from @early_seconds before the interval. */
  SELECT DISTINCT
    source_provider,
    asset_pair,
    @window_start("timestamp") AS window_start
  FROM arrivals
  WHERE
    _ingested_at >= @start_ts::TIMESTAMP(6) WITH TIME ZONE - @early_seconds * INTERVAL '1' SECOND
    AND _ingested_at <= @end_ts::TIMESTAMP(6) WITH TIME ZONE
    AND source_provider <> 'clock'
    AND @window_start("timestamp") + (
      5 + @grace_seconds
    ) * INTERVAL '1' SECOND <= @end_ts::TIMESTAMP(6) WITH TIME ZONE
), span AS (
  /* As a range on the plain column it prunes the scans below to the days of the touched windows. */
  SELECT
    MIN(window_start) AS first_moment,
    MAX(window_start) + INTERVAL '5' SECOND AS last_moment
  FROM touched
), numbered AS (
  SELECT
    t.event_id,
    t.source_provider,
    t.asset_pair,
    k.window_start,
    t."timestamp",
    t.price,
    t.size,
    t.trade_id,
    t.is_mock,
    t._ingested_at,
    COALESCE(t.venue_sequence, TRY_CAST(t.trade_id AS BIGINT), t._kafka_offset) AS place,
    ROW_NUMBER() OVER (
      PARTITION BY t.event_id
      ORDER BY t._ingested_at, t._kafka_partition, t._kafka_offset
    ) AS nth
  FROM trades AS t
  JOIN span AS s
    ON t."timestamp" >= s.first_moment AND t."timestamp" < s.last_moment
  JOIN touched AS k
    ON t.source_provider = k.source_provider
    AND t.asset_pair = k.asset_pair
    AND @window_start(t."timestamp") = k.window_start
  WHERE
    t._ingested_at <= @end_ts::TIMESTAMP(6) WITH TIME ZONE
), traded AS (
  /* First and last by event time, then the venue's order: the rule of the streaming job. */
  SELECT
    source_provider,
    asset_pair,
    window_start,
    MIN_BY(price, ROW("timestamp", place, price, COALESCE(trade_id, ''))) AS open,
    MAX(price) AS high,
    MIN(price) AS low,
    MAX_BY(price, ROW("timestamp", place, price, COALESCE(trade_id, ''))) AS close,
    SUM(size) AS volume,
    SUM(price * size) AS notional,
    COUNT(*) AS trade_count,
    MIN_BY(trade_id, ROW("timestamp", place, price, COALESCE(trade_id, ''))) AS first_trade_id,
    MAX_BY(trade_id, ROW("timestamp", place, price, COALESCE(trade_id, ''))) AS last_trade_id,
    BOOL_OR(is_mock) AS is_mock,
    MAX(_ingested_at) AS _ingested_at
  FROM numbered
  WHERE
    nth = 1
  GROUP BY
    source_provider,
    asset_pair,
    window_start
), beats AS (
  SELECT
    h.source_provider,
    h.asset_pair,
    k.window_start,
    h.event_id,
    BOOL_OR(h.is_mock) AS is_mock,
    MIN(h._ingested_at) AS _ingested_at
  FROM bronze.feed_heartbeats AS h
  JOIN span AS s
    ON h."timestamp" >= s.first_moment AND h."timestamp" < s.last_moment
  JOIN touched AS k
    ON h.source_provider = k.source_provider
    AND h.asset_pair = k.asset_pair
    AND @window_start(h."timestamp") = k.window_start
  WHERE
    h._ingested_at <= @end_ts::TIMESTAMP(6) WITH TIME ZONE
  GROUP BY
    h.source_provider,
    h.asset_pair,
    k.window_start,
    h.event_id
), alive AS (
  SELECT
    source_provider,
    asset_pair,
    window_start,
    COUNT(*) AS heartbeat_count,
    BOOL_OR(is_mock) AS is_mock,
    MAX(_ingested_at) AS _ingested_at
  FROM beats
  GROUP BY
    source_provider,
    asset_pair,
    window_start
)
SELECT
  k.source_provider || ':bar5s:' || k.asset_pair || ':' || DATE_FORMAT(k.window_start, '%Y-%m-%dT%TZ') AS event_id,
  k.source_provider,
  k.asset_pair,
  k.window_start::TIMESTAMP(6) WITH TIME ZONE AS window_start,
  (
    k.window_start + INTERVAL '5' SECOND
  )::TIMESTAMP(6) WITH TIME ZONE AS window_end,
  t.open::DECIMAL(18, 8) AS open,
  t.high::DECIMAL(18, 8) AS high,
  t.low::DECIMAL(18, 8) AS low,
  t.close::DECIMAL(18, 8) AS close,
  COALESCE(t.volume, 0)::DECIMAL(38, 8) AS volume,
  COALESCE(t.notional, 0)::DECIMAL(38, 16) AS notional,
  @exact_vwap(t.notional, t.volume)::DECIMAL(18, 8) AS vwap,
  COALESCE(t.trade_count, 0)::BIGINT AS trade_count,
  t.first_trade_id::VARCHAR AS first_trade_id,
  t.last_trade_id::VARCHAR AS last_trade_id,
  COALESCE(a.heartbeat_count, 0)::BIGINT AS heartbeat_count,
  COALESCE(t.is_mock, FALSE) OR COALESCE(a.is_mock, FALSE) AS is_mock,
  COALESCE(GREATEST(t._ingested_at, a._ingested_at), t._ingested_at, a._ingested_at) AS _ingested_at,
  0::BIGINT AS revision,
  NULL::TIMESTAMP(6) WITH TIME ZONE AS corrected_at,
  @execution_ts::TIMESTAMP(6) WITH TIME ZONE AS updated_at,
  @end_ts::TIMESTAMP(6) WITH TIME ZONE AS known_through
FROM touched AS k
LEFT JOIN traded AS t
  ON k.source_provider = t.source_provider
  AND k.asset_pair = t.asset_pair
  AND k.window_start = t.window_start
LEFT JOIN alive AS a
  ON k.source_provider = a.source_provider
  AND k.asset_pair = a.asset_pair
  AND k.window_start = a.window_start
