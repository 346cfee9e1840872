-- Like twice.sql, for a table of late rows: an id that was forgotten may come late twice and is
-- merged once, so there a row is known by its place in the topic.
SELECT
  min(event_id), count(*), array_join(array_sort(array_distinct(array_agg("$$path"))), ' ')
FROM ${table}
WHERE bitwise_and(_kafka_offset, ?) = ?
GROUP BY _kafka_partition, _kafka_offset
HAVING count(*) > 1 AND max(${known_at}) >= ?
ORDER BY min(${known_at}), 1
LIMIT 1
