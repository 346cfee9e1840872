-- Trades that came behind their window's close, into raw_trades by event_id: bronze stays unique.
-- Only those that landed in [first, second parameter). Up to the second the stream is complete: an
-- original came before its copy, so it is committed by now and seen here, never under way in the
-- same checkpoint.
-- An INSERT, because it only appends: a MERGE is refused ("Found conflicting files") whenever Flink
-- commits meanwhile. Two at once would insert twice; `ticklake transform` runs one at a time.
INSERT INTO bronze.raw_trades (
  event_id, source_provider, asset_pair, "timestamp", price, size, trade_id, venue_sequence,
  aggressor_side, is_mock, _kafka_partition, _kafka_offset, _ingested_at
)
WITH landed AS (
  SELECT
    event_id, source_provider, asset_pair, "timestamp", price, size, trade_id, venue_sequence,
    aggressor_side, is_mock, _kafka_partition, _kafka_offset, _ingested_at,
    ROW_NUMBER() OVER (
      PARTITION BY event_id ORDER BY _ingested_at, _kafka_partition, _kafka_offset
    ) AS nth
  FROM bronze.late_trades
  WHERE _ingested_at >= ? AND _ingested_at < ?
)
SELECT
  late.event_id, late.source_provider, late.asset_pair, late."timestamp", late.price, late.size,
  late.trade_id, late.venue_sequence, late.aggressor_side, late.is_mock, late._kafka_partition,
  late._kafka_offset, late._ingested_at
FROM landed AS late
LEFT JOIN bronze.raw_trades AS stored
  ON stored.event_id = late.event_id AND stored."timestamp" = late."timestamp"
WHERE late.nth = 1 AND stored.event_id IS NULL
