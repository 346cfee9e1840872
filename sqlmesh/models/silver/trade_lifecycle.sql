MODEL (
  name silver.trade_lifecycle,
  description 'One row per position, from the decision to the last step that is known.',
  kind INCREMENTAL_BY_UNIQUE_KEY (
    unique_key (platform, account, trade_id),
    batch_size 100000,
    when_matched (
      WHEN MATCHED AND (
        @changed(
          decision_id,
          decision_revision,
          decision_at,
          decision_action,
          decision_confidence,
          decision_provider,
          asset_pair,
          order_type,
          side,
          quantity,
          entry_price,
          exit_price,
          status,
          submitted_at,
          opened_at,
          closed_at,
          cancelled_at,
          first_step_at,
          last_step_at,
          step_count,
          fees,
          net_pnl,
          is_mock
        )
      ) THEN UPDATE SET
        target.decision_id = source.decision_id,
        target.decision_revision = source.decision_revision,
        target.decision_at = source.decision_at,
        target.decision_action = source.decision_action,
        target.decision_confidence = source.decision_confidence,
        target.decision_provider = source.decision_provider,
        target.asset_pair = source.asset_pair,
        target.order_type = source.order_type,
        target.side = source.side,
        target.quantity = source.quantity,
        target.entry_price = source.entry_price,
        target.exit_price = source.exit_price,
        target.status = source.status,
        target.submitted_at = source.submitted_at,
        target.opened_at = source.opened_at,
        target.closed_at = source.closed_at,
        target.cancelled_at = source.cancelled_at,
        target.first_step_at = source.first_step_at,
        target.last_step_at = source.last_step_at,
        target.step_count = source.step_count,
        target.fees = source.fees,
        target.net_pnl = source.net_pnl,
        target.is_mock = source.is_mock
    )
  ),
  partitioned_by (MONTH(first_step_at)),
  physical_properties (format_version = 2, sorted_by = ARRAY['asset_pair', 'first_step_at']),
  grain (platform, account, trade_id),
  audits (
    NOT_NULL(
      columns := (
        trade_id,
        account,
        platform,
        asset_pair,
        side,
        quantity,
        status,
        fees,
        net_pnl,
        first_step_at,
        last_step_at
      )
    ),
    UNIQUE_COMBINATION_OF_COLUMNS(columns := (platform, account, trade_id)),
    ACCEPTED_VALUES(
      column := status,
      is_in := ('submitted', 'open', 'closed', 'cancelled', 'rejected')
    ),
    ACCEPTED_RANGE(column := decision_confidence, min_v := 0, max_v := 100)
  ),
  column_descriptions (
    trade_id = 'the platform''s id of the position',
    decision_id = 'the decision that led to it, where one did',
    decision_revision = 'the newest revision of the decision that was made before the first step',
    decision_at = 'when that revision was made, UTC',
    decision_action = 'what it said: BUY, SELL, HOLD or NO_DECISION',
    decision_confidence = '0 to 100 percent',
    decision_provider = 'model provider, or ensemble',
    account = 'account at the platform',
    platform = 'where it is executed',
    asset_pair = 'what the desk calls it, such as BTCUSD',
    order_type = 'market, limit, stop or stop_limit',
    side = 'long: opened by BUY; short: opened by SELL',
    quantity = 'amount, in the base currency',
    entry_price = 'average price of the opening fill',
    exit_price = 'average price of the closing fill; null until then',
    status = 'the position after its last step',
    submitted_at = 'first step submitted, UTC',
    opened_at = 'first step open, UTC',
    closed_at = 'last step closed, UTC',
    cancelled_at = 'last step cancelled or rejected, UTC',
    first_step_at = 'the first step of any kind, UTC',
    last_step_at = 'the last step of any kind, UTC',
    step_count = 'steps that are known',
    fees = 'fees of all steps so far, in the quote currency',
    net_pnl = 'realised so far, in the quote currency: minus the fees until it is closed',
    is_mock = 'simulated'
  )
);

/* All positions are looked at and the changed ones are written: a decision may be rewritten and a fee may come later for
   any position, and there are thousands, not millions. Not FULL: SQLMesh sets the comment of each column of a replaced
   table in a commit of its own, some 26 of them in every run. */
WITH distinct_steps AS (
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
    fee,
    "timestamp",
    status,
    is_mock,
    _kafka_offset,
    ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY _ingested_at, _kafka_partition, _kafka_offset) AS nth
  FROM bronze.raw_trade_executions
), steps AS (
  /* Steps of equal time go in the order of a position's life. */
  SELECT
    trade_id,
    decision_id,
    account,
    asset_pair,
    platform,
    order_type,
    side,
    quantity,
    entry_price,
    fee,
    "timestamp",
    status,
    is_mock,
    ROW_NUMBER() OVER (
      PARTITION BY platform, account, trade_id
      ORDER BY "timestamp" DESC, CASE status WHEN 'submitted' THEN 0 WHEN 'open' THEN 1 ELSE 2 END DESC, _kafka_offset DESC
    ) AS newest
  FROM distinct_steps
  WHERE
    nth = 1
), positions AS (
  SELECT
    platform,
    account,
    trade_id,
    MAX(decision_id) AS decision_id,
    MAX(asset_pair) FILTER(WHERE
      newest = 1) AS asset_pair,
    MAX(order_type) FILTER(WHERE
      newest = 1) AS order_type,
    MAX(side) FILTER(WHERE
      newest = 1) AS side,
    MAX(quantity) FILTER(WHERE
      newest = 1) AS quantity,
    MAX(entry_price) FILTER(WHERE
      newest = 1) AS entry_price,
    MAX(status) FILTER(WHERE
      newest = 1) AS status,
    MIN("timestamp") FILTER(WHERE
      status = 'submitted') AS submitted_at,
    MIN("timestamp") FILTER(WHERE
      status = 'open') AS opened_at,
    MAX("timestamp") FILTER(WHERE
      status = 'closed') AS closed_at,
    MAX("timestamp") FILTER(WHERE
      status IN ('cancelled', 'rejected')) AS cancelled_at,
    MIN("timestamp") AS first_step_at,
    MAX("timestamp") AS last_step_at,
    COUNT(*) AS step_count,
    COALESCE(SUM(fee), 0)::DECIMAL(38, 8) AS fees,
    BOOL_OR(is_mock) AS is_mock
  FROM steps
  GROUP BY
    platform,
    account,
    trade_id
), decisions AS (
  /* What was known when the position began: later rewrites of the decision did not lead to it. */
  SELECT
    p.platform,
    p.account,
    p.trade_id,
    d.revision,
    d."timestamp",
    d.action,
    d.confidence,
    d.provider_name,
    ROW_NUMBER() OVER (
      PARTITION BY p.platform, p.account, p.trade_id
      ORDER BY d.revision DESC, d."timestamp" DESC, d._ingested_at, d.event_id
    ) AS newest
  FROM positions AS p
  JOIN bronze.raw_ai_decisions AS d
    ON p.decision_id = d.decision_id AND d."timestamp" <= p.first_step_at
)
SELECT
  p.trade_id,
  p.decision_id,
  d.revision AS decision_revision,
  d."timestamp" AS decision_at,
  d.action AS decision_action,
  d.confidence AS decision_confidence,
  d.provider_name AS decision_provider,
  p.account,
  p.platform,
  p.asset_pair,
  p.order_type,
  CASE p.side WHEN 'BUY' THEN 'long' ELSE 'short' END AS side,
  p.quantity,
  p.entry_price,
  o.exit_price,
  p.status,
  p.submitted_at,
  p.opened_at,
  p.closed_at,
  p.cancelled_at,
  p.first_step_at,
  p.last_step_at,
  p.step_count,
  p.fees,
  COALESCE(o.net_pnl, -p.fees)::DECIMAL(38, 16) AS net_pnl,
  p.is_mock
FROM positions AS p
LEFT JOIN decisions AS d
  ON p.platform = d.platform
  AND p.account = d.account
  AND p.trade_id = d.trade_id
  AND d.newest = 1
LEFT JOIN staging.stg_trade_outcomes AS o
  ON p.platform = o.platform AND p.account = o.account AND p.trade_id = o.trade_id
