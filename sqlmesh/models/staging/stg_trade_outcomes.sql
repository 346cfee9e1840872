MODEL (
  name staging.stg_trade_outcomes,
  description 'One row per closed position: what went in, what came out.',
  kind VIEW,
  cron '@hourly',
  grain (platform, account, trade_id),
  audits (
    NOT_NULL(
      columns := (
        trade_id,
        platform,
        account,
        asset_pair,
        side,
        quantity,
        entry_price,
        exit_price,
        gross_pnl,
        fees,
        net_pnl,
        closed_at
      )
    ),
    UNIQUE_COMBINATION_OF_COLUMNS(columns := (platform, account, trade_id)),
    ACCEPTED_VALUES(column := side, is_in := ('long', 'short')),
    ACCEPTED_RANGE(column := quantity, min_v := 0),
    ACCEPTED_RANGE(column := holding_seconds, min_v := 0)
  ),
  column_descriptions (
    trade_id = 'the platform''s id of the position',
    decision_id = 'the decision that led to it',
    account = 'account at the platform',
    platform = 'where it was executed',
    asset_pair = 'what the desk calls it, such as BTCUSD',
    order_type = 'market, limit, stop or stop_limit',
    side = 'long: opened by BUY; short: opened by SELL',
    quantity = 'amount, in the base currency',
    entry_price = 'average price of the opening fill',
    exit_price = 'average price of the closing fill',
    gross_pnl = '(exit - entry) * quantity, the other way round for a short; in the quote currency, exact',
    fees = 'fees of all steps, in the quote currency',
    net_pnl = 'gross_pnl - fees',
    return_pct = 'net_pnl in percent of entry_price * quantity',
    opened_at = 'when the opening fill was, UTC; of the close where the opening was never reported',
    closed_at = 'when the closing fill was, UTC',
    holding_seconds = 'closed_at - opened_at',
    is_mock = 'simulated'
  )
);

/* A view: few rows, and a fill is seen at once. Hourly is how often it is audited (and made again, as SQLMesh does). */
WITH steps AS (
  SELECT
    event_id,
    trade_id,
    decision_id,
    account,
    asset_pair,
    platform,
    order_type,
    side,
    quantity,
    entry_price,
    exit_price,
    fee,
    "timestamp",
    status,
    is_mock,
    _kafka_offset,
    ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY _ingested_at, _kafka_partition, _kafka_offset) AS nth
  FROM bronze.raw_trade_executions
), positions AS (
  SELECT
    platform,
    account,
    trade_id,
    MAX(decision_id) AS decision_id,
    COALESCE(SUM(fee), 0)::DECIMAL(38, 8) AS fees,
    MIN("timestamp") FILTER(WHERE
      status = 'open') AS opened_at,
    BOOL_OR(is_mock) AS is_mock
  FROM steps
  WHERE
    nth = 1
  GROUP BY
    platform,
    account,
    trade_id
), closings AS (
  /* A platform may report a close again, corrected: the newest word counts. */
  SELECT
    platform,
    account,
    trade_id,
    asset_pair,
    order_type,
    side,
    quantity,
    entry_price,
    exit_price,
    "timestamp",
    ROW_NUMBER() OVER (
      PARTITION BY platform, account, trade_id
      ORDER BY "timestamp" DESC, _kafka_offset DESC
    ) AS newest
  FROM steps
  WHERE
    nth = 1 AND status = 'closed' AND NOT exit_price IS NULL
), priced AS (
  SELECT
    c.platform,
    c.account,
    c.trade_id,
    c.asset_pair,
    c.order_type,
    c.side,
    c.quantity,
    c.entry_price,
    c.exit_price,
    c."timestamp" AS closed_at,
    p.decision_id,
    p.fees,
    p.is_mock,
    COALESCE(p.opened_at, c."timestamp") AS opened_at,
    (
      (
        c.exit_price - c.entry_price
      ) * c.quantity * CASE c.side WHEN 'BUY' THEN 1 ELSE -1 END
    )::DECIMAL(38, 16) AS gross_pnl
  FROM closings AS c
  JOIN positions AS p
    ON c.platform = p.platform AND c.account = p.account AND c.trade_id = p.trade_id
  WHERE
    c.newest = 1
)
SELECT
  trade_id,
  decision_id,
  account,
  platform,
  asset_pair,
  order_type,
  CASE side WHEN 'BUY' THEN 'long' ELSE 'short' END AS side,
  quantity,
  entry_price,
  exit_price,
  gross_pnl,
  fees,
  (
    gross_pnl - fees
  )::DECIMAL(38, 16) AS net_pnl,
  100 * (
    gross_pnl - fees
  )::DOUBLE / NULLIF((
    entry_price * quantity
  )::DOUBLE, 0) AS return_pct,
  opened_at,
  closed_at,
  DATE_DIFF('MILLISECOND', opened_at, closed_at) / 1000::DOUBLE AS holding_seconds,
  is_mock
FROM priced
