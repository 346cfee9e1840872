MODEL (
  name staging.stg_market_data_unified,
  description 'The one bar of each pair, timeframe and moment, the best of what the providers published.',
  kind VIEW,
  cron '@hourly',
  grain (asset_pair, timeframe, "timestamp"),
  audits (
    NOT_NULL(
      columns := (event_id, asset_pair, timeframe, "timestamp", open, high, low, close, volume)
    ),
    UNIQUE_COMBINATION_OF_COLUMNS(columns := (asset_pair, timeframe, "timestamp")),
    ACCEPTED_VALUES(column := timeframe, is_in := ('1m', '5m', '15m', '1h', '4h', '1d'))
  ),
  column_descriptions (
    event_id = 'the chosen bar, in bronze',
    source_provider = 'who published it',
    asset_pair = 'what the desk calls it, such as BTCUSD',
    timeframe = 'length of the bar: 1m, 5m, 15m, 1h, 4h or 1d',
    timestamp = 'start of the bar, UTC',
    open = 'first price',
    high = 'highest price',
    low = 'lowest price',
    close = 'last price',
    volume = 'traded amount, 2 decimals',
    is_mock = 'simulated, chosen only where nothing real is there',
    _extracted_at = 'when the connector asked the provider, UTC',
    _ingested_at = 'when the lake could first know it, UTC'
  )
);

/* A view: the choice between providers is cheap, and a bar that comes later is seen at once. Hourly is how often it is
   audited (and made again, as SQLMesh does). */
WITH published AS (
  SELECT
    event_id,
    source_provider,
    asset_pair,
    timeframe,
    "timestamp",
    open,
    high,
    low,
    close,
    volume,
    is_mock,
    _extracted_at,
    _ingested_at
  FROM bronze.raw_market_data_1m
  UNION ALL
  SELECT
    event_id,
    source_provider,
    asset_pair,
    timeframe,
    "timestamp",
    open,
    high,
    low,
    close,
    volume,
    is_mock,
    _extracted_at,
    _ingested_at
  FROM bronze.raw_market_data_5m
  UNION ALL
  SELECT
    event_id,
    source_provider,
    asset_pair,
    timeframe,
    "timestamp",
    open,
    high,
    low,
    close,
    volume,
    is_mock,
    _extracted_at,
    _ingested_at
  FROM bronze.raw_market_data_15m
  UNION ALL
  SELECT
    event_id,
    source_provider,
    asset_pair,
    timeframe,
    "timestamp",
    open,
    high,
    low,
    close,
    volume,
    is_mock,
    _extracted_at,
    _ingested_at
  FROM bronze.raw_market_data_1h
  UNION ALL
  SELECT
    event_id,
    source_provider,
    asset_pair,
    timeframe,
    "timestamp",
    open,
    high,
    low,
    close,
    volume,
    is_mock,
    _extracted_at,
    _ingested_at
  FROM bronze.raw_market_data_4h
  UNION ALL
  SELECT
    event_id,
    source_provider,
    asset_pair,
    timeframe,
    "timestamp",
    open,
    high,
    low,
    close,
    volume,
    is_mock,
    _extracted_at,
    _ingested_at
  FROM bronze.raw_market_data_1d
), ranked AS (
  SELECT
    event_id,
    source_provider,
    asset_pair,
    timeframe,
    "timestamp",
    open,
    high,
    low,
    close,
    volume,
    is_mock,
    _extracted_at,
    _ingested_at,
    ROW_NUMBER() OVER (
      PARTITION BY asset_pair, timeframe, "timestamp"
      ORDER BY is_mock, CASE source_provider
        WHEN 'alpha_vantage'
        THEN 0
        WHEN 'coinbase'
        THEN 1
        WHEN 'oanda'
        THEN 2
        ELSE 3
      END, _ingested_at DESC, _extracted_at DESC, event_id
    ) AS choice
  FROM published
)
SELECT
  r.event_id,
  r.source_provider,
  r.asset_pair,
  r.timeframe,
  r."timestamp",
  r.open,
  r.high,
  r.low,
  r.close,
  r.volume,
  r.is_mock,
  r._extracted_at,
  r._ingested_at
FROM ranked AS r
WHERE
  r.choice = 1
