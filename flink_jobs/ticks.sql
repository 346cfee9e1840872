-- Ticks: one parse and one memory of ids for trades, quotes, heartbeats, bars and dead letters.
-- ${...} is filled by ticks.py: lists of columns as they are declared, and the lake's name.
-- common.sql is the last part of the job.

-- Repeated for each table. A late trade came behind its window's close: it lands in late_trades, is
-- merged into raw_trades by event_id, and silver corrects the bar.
INSERT INTO ${lake}.${table} (${columns})
SELECT ${columns} FROM source_tick WHERE `_table` = '${table}';

-- A partial bar is what one task read of a pair and a window since the last (PartialBars.java).
-- First and last go by event time, then the venue's order, never by arrival: MIN and MAX of one
-- text that begins with both and carries price and trade id behind them (Place.java).
CREATE TEMPORARY VIEW parts AS
SELECT `source_provider`, `asset_pair`, `is_mock`, `_ingested_at`, `_rowtime`,
  `_bar`.`first_place`, `_bar`.`last_place`, `_bar`.`high`, `_bar`.`low`, `_bar`.`volume`,
  `_bar`.`notional`, `_bar`.`trades`, `_bar`.`ticks`
FROM source_tick
WHERE `_table` = 'partial_bars' AND `_bar`.`table` IN ('raw_trades', 'feed_heartbeats')
  AND `source_provider` <> '${clock}';

CREATE TEMPORARY VIEW bars AS
SELECT `source_provider`, `asset_pair`,
  CAST(`window_start` AS TIMESTAMP_LTZ(3)) AS `window_start`,
  CAST(`window_end` AS TIMESTAMP_LTZ(3)) AS `window_end`,
  CAST(SUBSTRING(`first_place` FROM 36 FOR 20) AS DECIMAL(18, 8)) AS `open`,
  `high`, `low`,
  CAST(SUBSTRING(`last_place` FROM 36 FOR 20) AS DECIMAL(18, 8)) AS `close`,
  COALESCE(`volume`, CAST(0 AS DECIMAL(38, 8))) AS `volume`,
  CAST(`notional` / NULLIF(`volume`, 0) AS DECIMAL(18, 8)) AS `vwap`,
  `trade_count`,
  NULLIF(SUBSTRING(`first_place` FROM 56), '') AS `first_trade_id`,
  NULLIF(SUBSTRING(`last_place` FROM 56), '') AS `last_trade_id`,
  `tick_count` - `trade_count` AS `heartbeat_count`,
  `mocks` > 0 AS `is_mock`,
  `_ingested_at`,
  `source_provider` || ':bar5s:' || `asset_pair` || ':'
    || DATE_FORMAT(`window_start`, 'yyyy-MM-dd''T''HH:mm:ss''Z''') AS `event_id`
FROM (
  SELECT `source_provider`, `asset_pair`, `window_start`, `window_end`,
    MIN(`first_place`) AS `first_place`, MAX(`last_place`) AS `last_place`,
    MAX(`high`) AS `high`, MIN(`low`) AS `low`,
    SUM(`volume`) AS `volume`, SUM(`notional`) AS `notional`,
    SUM(`trades`) AS `trade_count`, SUM(`ticks`) AS `tick_count`,
    SUM(CASE WHEN `is_mock` THEN `ticks` ELSE 0 END) AS `mocks`,
    MAX(`_ingested_at`) AS `_ingested_at`
  FROM TABLE(TUMBLE(TABLE parts, DESCRIPTOR(`_rowtime`), INTERVAL '5' SECOND))
  GROUP BY `source_provider`, `asset_pair`, `window_start`, `window_end`
);

INSERT INTO ${lake}.market_bars_5s (${market_bars_5s})
SELECT ${market_bars_5s} FROM bars;

INSERT INTO topic_bar5s
SELECT ${bar5s_text} FROM bars;
