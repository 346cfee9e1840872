-- All events but ticks: candles, news, macro, decisions, executions, feed status.
-- A statement that names ${event} is repeated for each event, one that names ${table} for each
-- table of an event.

-- A duplicate has its original's id; the state remembers ids for a week, as Kafka keeps records.
CREATE TEMPORARY VIEW once_${event} AS
SELECT *
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY `event_id` ORDER BY `_arrival`) AS `nth`
  FROM source_${event}
  WHERE `_error_code` IS NULL AND NOT `_from_future`
)
WHERE `nth` = 1;

INSERT INTO ${lake}.${table}
SELECT ${columns} FROM once_${event} WHERE ${chosen};
