-- Ticks: one parse and one memory of ids for trades, quotes, heartbeats, bars and dead letters.
-- ${...} is filled by ticks.py: lists of columns as they are declared, and the lake's name.
-- common.sql is the last part of the job.

-- Repeated for each table. A late trade came behind its window's close: it lands in late_trades, is
-- merged into raw_trades by event_id, and silver corrects the bar.
INSERT INTO ${lake}.${table} (${columns})
SELECT ${columns} FROM source_tick WHERE `_table` = '${table}';

-- First and last go by event time, then the venue's order, never by arrival: MIN and MAX of one
-- text that begins with both and carries price and trade id behind them (Place.java).
CREATE TEMPORARY FUNCTION place AS 'ticklake.flink.Place' LANGUAGE JAVA;

CREATE TEMPORARY VIEW ordered AS
SELECT `source_provider`, `asset_pair`, `price`, `size`, `is_mock`, `_ingested_at`, `_rowtime`,
  place(`_event_us`, `venue_sequence`, `trade_id`, `_kafka_offset`, `price`) AS `place`
FROM source_tick
WHERE `_table` IN ('raw_trades', 'feed_heartbeats') AND `source_provider` <> '${clock}';

CREATE TEMPORARY VIEW bars AS
SELECT `source_provider`, `asset_pair`,
  CAST(`window_start` AS TIMESTAMP_LTZ(3)) AS `window_start`,
  CAST(`window_end` AS TIMESTAMP_LTZ(3)) AS `window_end`,
  CAST(CAST(SUBSTRING(`first_place` FROM 36 FOR 19) AS BIGINT) * 0.00000001 AS DECIMAL(18, 8)) AS `open`,
  `high`, `low`,
  CAST(CAST(SUBSTRING(`last_place` FROM 36 FOR 19) AS BIGINT) * 0.00000001 AS DECIMAL(18, 8)) AS `close`,
  COALESCE(`volume`, CAST(0 AS DECIMAL(38, 8))) AS `volume`,
  CAST(`notional` / NULLIF(`volume`, 0) AS DECIMAL(18, 8)) AS `vwap`,
  `trade_count`,
  NULLIF(SUBSTRING(`first_place` FROM 55), '') AS `first_trade_id`,
  NULLIF(SUBSTRING(`last_place` FROM 55), '') AS `last_trade_id`,
  `tick_count` - `trade_count` AS `heartbeat_count`,
  `mocks` > 0 AS `is_mock`,
  `_ingested_at`,
  `source_provider` || ':bar5s:' || `asset_pair` || ':'
    || DATE_FORMAT(`window_start`, 'yyyy-MM-dd''T''HH:mm:ss''Z''') AS `event_id`
FROM (
  SELECT `source_provider`, `asset_pair`, `window_start`, `window_end`,
    MIN(`place`) AS `first_place`, MAX(`place`) AS `last_place`,
    MAX(`price`) AS `high`, MIN(`price`) AS `low`,
    SUM(`size`) AS `volume`, SUM(`price` * `size`) AS `notional`,
    COUNT(`price`) AS `trade_count`, COUNT(*) AS `tick_count`,
    SUM(CASE WHEN `is_mock` THEN 1 ELSE 0 END) AS `mocks`,
    MAX(`_ingested_at`) AS `_ingested_at`
  FROM TABLE(TUMBLE(TABLE ordered, DESCRIPTOR(`_rowtime`), INTERVAL '5' SECOND))
  GROUP BY `source_provider`, `asset_pair`, `window_start`, `window_end`
);

INSERT INTO ${lake}.market_bars_5s (${market_bars_5s})
SELECT ${market_bars_5s} FROM bars;

INSERT INTO topic_bar5s
SELECT ${bar5s_text} FROM bars;
