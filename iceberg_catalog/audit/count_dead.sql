-- Like count_rows.sql, for the dead letters; bound at the end: their topic.
SELECT stored."partition", count(*)
FROM dead_letters AS stored
JOIN (
  SELECT *
  FROM
    UNNEST(
      CAST(json_parse(?) AS array(bigint)),
      CAST(json_parse(?) AS array(bigint)),
      CAST(json_parse(?) AS array(bigint))
    ) AS given (kafka_partition, first_offset, next_offset)
) AS range
  ON range.kafka_partition = stored."partition"
  AND stored."offset" >= range.first_offset
  AND stored."offset" < range.next_offset
WHERE stored.topic = ?
GROUP BY stored."partition"
