-- The same without the rows that were merged from the table for late ones.
SELECT stored._kafka_partition AS kafka_partition, stored._kafka_offset AS kafka_offset
FROM ${table} AS stored
WHERE NOT EXISTS (
  SELECT 1
  FROM ${late_table} AS late
  WHERE late._kafka_partition = stored._kafka_partition
    AND late._kafka_offset = stored._kafka_offset
)
