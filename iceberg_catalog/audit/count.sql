-- How many of some rows came from ranges of partitions, by partition. Bound first, each a list as
-- JSON with one entry a partition: partitions, first offsets, offsets behind the last; then what the
-- rows ask for.
WITH ranges AS (
  SELECT *
  FROM
    UNNEST(
      CAST(json_parse(?) AS array(bigint)),
      CAST(json_parse(?) AS array(bigint)),
      CAST(json_parse(?) AS array(bigint))
    ) AS given (kafka_partition, first_offset, next_offset)
),
places AS (
${places}
)
SELECT place.kafka_partition, count(*)
FROM places AS place
JOIN ranges
  ON ranges.kafka_partition = place.kafka_partition
  AND place.kafka_offset >= ranges.first_offset
  AND place.kafka_offset < ranges.next_offset
GROUP BY place.kafka_partition
