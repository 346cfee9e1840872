-- All events but ticks: candles, news, macro, decisions, executions, feed status.
-- The statement is repeated for each table of an event; common.sql is the last part of the job.

INSERT INTO ${lake}.${table} (${columns})
SELECT ${columns} FROM source_${event} WHERE `_table` = '${table}';
