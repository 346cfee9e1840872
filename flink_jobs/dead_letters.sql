-- What broke a rule, bytes unchanged: into the lake and into the topic's own dead-letter topic.
-- The last part of every job; a statement that names ${event} is repeated for each of its events.

CREATE TEMPORARY VIEW rejected_${event} AS
SELECT
  '${topic}:' || CAST(`_kafka_partition` AS STRING) || ':' || CAST(`_kafka_offset` AS STRING)
    AS `event_id`,
  '${topic}' AS `topic`,
  CAST(`_kafka_partition` AS BIGINT) AS `partition`,
  `_kafka_offset` AS `offset`,
  CAST(`_ingested_at` AS TIMESTAMP_LTZ(6)) AS `timestamp`,
  COALESCE(`_error_code`, 'future_timestamp') AS `error_code`,
  COALESCE(`_error_message`, '${time} is ahead of the broker''s append time by more than'
    || ' ${tolerance} s; check the clock and the unit of the producer') AS `error_message`,
  `_key` AS `record_key`,
  `_payload` AS `payload`,
  CAST(NULL AS STRING) AS `headers`,
  CAST(0 AS BIGINT) AS `attempts`
FROM source_${event}
WHERE `_error_code` IS NOT NULL OR `_from_future`;

CREATE TEMPORARY VIEW rejected AS
${all_rejected};

INSERT INTO ${lake}.dead_letters
SELECT ${dead_letters} FROM rejected;

INSERT INTO dead_${event}
SELECT `record_key`, `payload`, MAP[
  'error_code', CAST(`error_code` AS BYTES),
  'error_message', CAST(`error_message` AS BYTES),
  'source_topic', CAST(`topic` AS BYTES),
  'source_partition', CAST(CAST(`partition` AS STRING) AS BYTES),
  'source_offset', CAST(CAST(`offset` AS STRING) AS BYTES)
]
FROM rejected_${event};
