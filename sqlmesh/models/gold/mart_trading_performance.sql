MODEL (
  name gold.mart_trading_performance,
  description 'How the desk traded, by day of the close (UTC) and pair; simulated trades are kept apart.',
  kind FULL,
  cron '@hourly',
  partitioned_by (MONTH(day)),
  physical_properties (format_version = 2, sorted_by = ARRAY['asset_pair', 'day']),
  grain (day, asset_pair, is_mock),
  audits (
    NOT_NULL(
      columns := (
        day,
        asset_pair,
        is_mock,
        trades,
        wins,
        losses,
        win_rate,
        gross_profit,
        gross_loss,
        net_pnl,
        max_drawdown
      )
    ),
    UNIQUE_COMBINATION_OF_COLUMNS(columns := (day, asset_pair, is_mock)),
    ACCEPTED_RANGE(column := win_rate, min_v := 0, max_v := 1),
    ACCEPTED_RANGE(column := trades, min_v := 1),
    ACCEPTED_RANGE(column := max_drawdown, min_v := 0),
    FORALL(criteria := (wins + losses <= trades, net_pnl = gross_profit - gross_loss))
  ),
  column_descriptions (
    day = 'day of the close, UTC',
    asset_pair = 'what the desk calls it, such as BTCUSD',
    is_mock = 'simulated trades',
    trades = 'positions that were closed',
    wins = 'of them with net_pnl above 0',
    losses = 'of them with net_pnl below 0',
    win_rate = 'wins / trades, 0 to 1',
    gross_profit = 'net pnl of the wins, in the quote currency, exact',
    gross_loss = 'net pnl of the losses, as a positive amount',
    profit_factor = 'gross_profit / gross_loss; null without a loss',
    net_pnl = 'gross_profit - gross_loss',
    fees = 'fees of the trades',
    average_win = 'gross_profit / wins; null without a win',
    average_loss = 'gross_loss / losses; null without a loss',
    average_return_pct = 'mean of the trades'' returns, percent',
    sharpe_ratio = 'mean / sample standard deviation of the day''s returns per trade; not annualised; null below 2 trades',
    cumulative_net_pnl = 'net pnl of the pair from its first trade to the end of the day',
    max_drawdown = 'largest fall of the cumulative net pnl below its peak so far, seen on this day',
    best_trade = 'highest net pnl of one trade',
    worst_trade = 'lowest net pnl of one trade'
  )
);

/* FULL: drawdown runs over all trades of a pair, so a correction of an old trade changes every later day, and a day whose
   only trade was moved has to go. Hourly: each column's comment is a commit of its own whenever the table is replaced.
   Sharpe ratio: W. F. Sharpe, The Sharpe Ratio, Journal of Portfolio Management, 1994, ex post, with a risk-free return
   of 0. Per trade: a day's number of trades is no rate that a year could be made of; times the root of the trades in
   a year it is annualised. */
WITH ordered AS (
  SELECT
    closed_at::DATE AS day,
    asset_pair,
    is_mock,
    net_pnl,
    fees,
    return_pct,
    closed_at,
    platform,
    account,
    trade_id,
    SUM(net_pnl) OVER (
      PARTITION BY asset_pair, is_mock
      ORDER BY closed_at, platform, account, trade_id
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS equity
  FROM staging.stg_trade_outcomes
), falling AS (
  /* The peak starts at 0: a first trade that loses is a fall. */
  SELECT
    day,
    asset_pair,
    is_mock,
    net_pnl,
    fees,
    return_pct,
    equity,
    GREATEST(
      MAX(equity) OVER (
        PARTITION BY asset_pair, is_mock
        ORDER BY closed_at, platform, account, trade_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
      ),
      0
    ) - equity AS drawdown
  FROM ordered
), days AS (
  SELECT
    day,
    asset_pair,
    is_mock,
    COUNT(*) AS trades,
    COUNT_IF(net_pnl > 0) AS wins,
    COUNT_IF(net_pnl < 0) AS losses,
    COALESCE(SUM(net_pnl) FILTER(WHERE
      net_pnl > 0), 0)::DECIMAL(38, 16) AS gross_profit,
    COALESCE(-SUM(net_pnl) FILTER(WHERE
      net_pnl < 0), 0)::DECIMAL(38, 16) AS gross_loss,
    SUM(net_pnl)::DECIMAL(38, 16) AS net_pnl,
    SUM(fees)::DECIMAL(38, 8) AS fees,
    AVG(return_pct) AS average_return_pct,
    STDDEV_SAMP(return_pct) AS return_deviation,
    MAX(drawdown)::DECIMAL(38, 16) AS max_drawdown,
    MAX(net_pnl) AS best_trade,
    MIN(net_pnl) AS worst_trade
  FROM falling
  GROUP BY
    day,
    asset_pair,
    is_mock
)
SELECT
  day,
  asset_pair,
  is_mock,
  trades,
  wins,
  losses,
  wins::DOUBLE / trades AS win_rate,
  gross_profit,
  gross_loss,
  gross_profit::DOUBLE / NULLIF(gross_loss::DOUBLE, 0) AS profit_factor,
  net_pnl,
  fees,
  (
    gross_profit / NULLIF(wins, 0)
  )::DECIMAL(38, 16) AS average_win,
  (
    gross_loss / NULLIF(losses, 0)
  )::DECIMAL(38, 16) AS average_loss,
  average_return_pct,
  average_return_pct / NULLIF(return_deviation, 0) AS sharpe_ratio,
  SUM(net_pnl) OVER (
    PARTITION BY asset_pair, is_mock
    ORDER BY day
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  )::DECIMAL(38, 16) AS cumulative_net_pnl,
  max_drawdown,
  best_trade,
  worst_trade
FROM days
