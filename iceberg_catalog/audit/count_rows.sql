-- Rows of a table by partition. Bound, each a list as JSON, one entry a partition: partitions, first
-- offsets, offsets behind the last.
SELECT stored._kafka_partition, count(*)
FROM ${table} AS stored
JOIN (
  SELECT *
  FROM
    UNNEST(
      CAST(json_parse(?) AS array(bigint)),
      CAST(json_parse(?) AS array(bigint)),
      CAST(json_parse(?) AS array(bigint))
    ) AS given (kafka_partition, first_offset, next_offset)
) AS range
  ON range.kafka_partition = stored._kafka_partition
  AND stored._kafka_offset >= range.first_offset
  AND stored._kafka_offset < range.next_offset
GROUP BY stored._kafka_partition
