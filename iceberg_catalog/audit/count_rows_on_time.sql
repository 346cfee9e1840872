-- Like count_rows.sql, without the rows that were merged from the table for late ones.
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
WHERE NOT EXISTS (
  SELECT 1
  FROM ${late_table} AS late
  WHERE late._kafka_partition = stored._kafka_partition
    AND late._kafka_offset = stored._kafka_offset
)
GROUP BY stored._kafka_partition
