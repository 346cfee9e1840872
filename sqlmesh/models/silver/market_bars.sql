MODEL (
  name silver.market_bars,
  description 'Bars of 1 and 5 minutes, added up from the bars of 5 seconds; corrected as those are.',
  kind INCREMENTAL_BY_UNIQUE_KEY (
    unique_key (source_provider, asset_pair, timeframe, bar_start),
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
        target.window_count = source.window_count,
        target.is_mock = source.is_mock,
        target._ingested_at = source._ingested_at,
        target.revision = target.revision + 1,
        target.corrected_at = source.updated_at,
        target.updated_at = source.updated_at,
        target.known_through = source.known_through
      WHEN MATCHED AND (
        @changed(notional, vwap, heartbeat_count, window_count, is_mock)
      ) THEN UPDATE SET
        target.notional = source.notional,
        target.vwap = source.vwap,
        target.heartbeat_count = source.heartbeat_count,
        target.window_count = source.window_count,
        target.is_mock = source.is_mock,
        target._ingested_at = source._ingested_at,
        target.updated_at = source.updated_at,
        target.known_through = source.known_through
    )
  ),
  partitioned_by (DAY(bar_start)),
  physical_properties (format_version = 2, sorted_by = ARRAY['asset_pair', 'bar_start']),
  grain (source_provider, asset_pair, timeframe, bar_start),
  audits (
    NOT_NULL(
      columns := (
        source_provider,
        asset_pair,
        timeframe,
        bar_start,
        bar_end,
        volume,
        trade_count,
        revision
      ),
      condition := known_through >= @start_ts::TIMESTAMP(6) WITH TIME ZONE
    ),
    UNIQUE_COMBINATION_OF_COLUMNS(
      columns := (source_provider, asset_pair, timeframe, bar_start),
      condition := known_through >= @start_ts::TIMESTAMP(6) WITH TIME ZONE
    ),
    BARS_ARE_CONSISTENT
  ),
  column_descriptions (
    source_provider = 'venue or feed, such as coinbase',
    asset_pair = 'what the desk calls it, such as BTCUSD',
    timeframe = 'length of the bar: 1m or 5m',
    bar_start = 'start of the bar, inclusive, UTC',
    bar_end = 'end of the bar, exclusive, UTC',
    open = 'price of the first trade; null where there was no trade',
    high = 'highest price',
    low = 'lowest price',
    close = 'price of the last trade',
    volume = 'traded amount, in the base currency, exact',
    notional = 'sum(price * size), in the quote currency, exact',
    vwap = 'notional / volume, rounded half up to 8 decimals; null where the volume is 0',
    trade_count = 'trades in the bar; 0: heartbeats only',
    first_trade_id = 'venue id of the first trade',
    last_trade_id = 'venue id of the last trade',
    heartbeat_count = 'heartbeats of the venue in the bar',
    window_count = 'bars of 5 seconds that it is made of: 12 or 60 where something was heard all along',
    is_mock = 'any of it is simulated',
    _ingested_at = 'append time of the newest tick in the bar, UTC',
    revision = '0 at first, +1 whenever prices, volume, count or trade ids change',
    corrected_at = 'when the newest revision was made, UTC; null while revision is 0',
    updated_at = 'when this row was written, UTC',
    known_through = 'every arrival before this moment is in the row, UTC'
  )
);

/* As in market_bars_5s, and driven by its known_through: bars that it wrote in this interval are made again, whole. */
WITH timeframes AS (
  SELECT
    timeframe,
    seconds
  FROM (VALUES
    ('1m', 60),
    ('5m', 300)) AS t(timeframe, seconds)
), touched AS (
  /* A bar of 5 minutes that closes now may hold windows written up to 5 minutes ago; one that is open is left out. */
  SELECT DISTINCT
    w.source_provider,
    w.asset_pair,
    f.timeframe,
    f.seconds,
    @bar_start(w.window_start, f.seconds) AS bar_start
  FROM silver.market_bars_5s AS w
  CROSS JOIN timeframes AS f
  WHERE
    w.known_through >= @start_ts::TIMESTAMP(6) WITH TIME ZONE - (
      300 + @early_seconds
    ) * INTERVAL '1' SECOND
    AND @bar_start(w.window_start, f.seconds) + (
      f.seconds + @grace_seconds
    ) * INTERVAL '1' SECOND <= @end_ts::TIMESTAMP(6) WITH TIME ZONE
), span AS (
  SELECT
    MIN(bar_start) AS first_moment,
    MAX(bar_start) + INTERVAL '300' SECOND AS last_moment
  FROM touched
), added AS (
  SELECT
    k.source_provider,
    k.asset_pair,
    k.timeframe,
    k.bar_start,
    k.seconds,
    MIN_BY(w.open, w.window_start) FILTER(WHERE
      w.trade_count > 0) AS open,
    MAX(w.high) AS high,
    MIN(w.low) AS low,
    MAX_BY(w.close, w.window_start) FILTER(WHERE
      w.trade_count > 0) AS close,
    SUM(w.volume) AS volume,
    SUM(w.notional) AS notional,
    SUM(w.trade_count) AS trade_count,
    MIN_BY(w.first_trade_id, w.window_start) FILTER(WHERE
      w.trade_count > 0) AS first_trade_id,
    MAX_BY(w.last_trade_id, w.window_start) FILTER(WHERE
      w.trade_count > 0) AS last_trade_id,
    SUM(w.heartbeat_count) AS heartbeat_count,
    COUNT(*) AS window_count,
    BOOL_OR(w.is_mock) AS is_mock,
    MAX(w._ingested_at) AS _ingested_at
  FROM silver.market_bars_5s AS w
  JOIN span AS s
    ON w.window_start >= s.first_moment AND w.window_start < s.last_moment
  JOIN touched AS k
    ON w.source_provider = k.source_provider
    AND w.asset_pair = k.asset_pair
    AND @bar_start(w.window_start, k.seconds) = k.bar_start
  GROUP BY
    k.source_provider,
    k.asset_pair,
    k.timeframe,
    k.bar_start,
    k.seconds
)
SELECT
  a.source_provider,
  a.asset_pair,
  a.timeframe,
  a.bar_start::TIMESTAMP(6) WITH TIME ZONE AS bar_start,
  (
    a.bar_start + a.seconds * INTERVAL '1' SECOND
  )::TIMESTAMP(6) WITH TIME ZONE AS bar_end,
  a.open::DECIMAL(18, 8) AS open,
  a.high::DECIMAL(18, 8) AS high,
  a.low::DECIMAL(18, 8) AS low,
  a.close::DECIMAL(18, 8) AS close,
  a.volume::DECIMAL(38, 8) AS volume,
  a.notional::DECIMAL(38, 16) AS notional,
  @exact_vwap(a.notional, a.volume)::DECIMAL(18, 8) AS vwap,
  a.trade_count::BIGINT AS trade_count,
  a.first_trade_id::VARCHAR AS first_trade_id,
  a.last_trade_id::VARCHAR AS last_trade_id,
  a.heartbeat_count::BIGINT AS heartbeat_count,
  a.window_count::BIGINT AS window_count,
  a.is_mock,
  a._ingested_at,
  0::BIGINT AS revision,
  NULL::TIMESTAMP(6) WITH TIME ZONE AS corrected_at,
  @execution_ts::TIMESTAMP(6) WITH TIME ZONE AS updated_at,
  @end_ts::TIMESTAMP(6) WITH TIME ZONE AS known_through
FROM added AS a
