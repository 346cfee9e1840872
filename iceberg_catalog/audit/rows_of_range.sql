-- Offset, event id and table of every row that came from a range of a partition; repeated for each
-- table of the event, and united. Bound: partition, first offset, the one behind the last.
SELECT _kafka_offset, event_id, '${table}'
FROM ${table}
WHERE _kafka_partition = ? AND _kafka_offset >= ? AND _kafka_offset < ?
