-- The last part of every job: what broke a rule, and the receipts.
-- A statement that names ${event} is repeated for each of its events.

CREATE TEMPORARY VIEW rejected_${event} AS
SELECT
  '${topic}:' || CAST(`_kafka_partition` AS STRING) || ':' || CAST(`_kafka_offset` AS STRING)
    AS `event_id`,
  '${topic}' AS `topic`,
  CAST(`_kafka_partition` AS BIGINT) AS `partition`,
  `_kafka_offset` AS `offset`,
  `_ingested_at` AS `timestamp`,
  `_error_code` AS `error_code`,
  `_error_message` AS `error_message`,
  `_key` AS `record_key`,
  `_payload` AS `payload`,
  `_headers` AS `record_headers`,
  `_headers_text` AS `headers`,
  `_attempts` AS `attempts`
FROM source_${event}
WHERE `_table` = 'dead_letters';

CREATE TEMPORARY VIEW rejected AS
${all_rejected};

INSERT INTO ${lake}.dead_letters (${dead_letters})
SELECT ${dead_letters} FROM rejected;

-- Bytes and headers unchanged, and the reason beside them.
INSERT INTO dead_${event}
SELECT `record_key`, `payload`, MAP_UNION(
  `record_headers`,
  MAP[
    'error_code', CAST(`error_code` AS BYTES),
    'error_message', CAST(`error_message` AS BYTES),
    'source_topic', CAST(`topic` AS BYTES),
    'source_partition', CAST(CAST(`partition` AS STRING) AS BYTES),
    'source_offset', CAST(CAST(`offset` AS STRING) AS BYTES)
  ]
)
FROM rejected_${event};

-- Committed in one checkpoint with the rows that they count.
CREATE TEMPORARY VIEW receipts_${event} AS
SELECT
  `_receipt`.`job_id` || ':' || CAST(`_receipt`.`checkpoint_id` AS STRING) || ':${topic}:'
    || CAST(`_kafka_partition` AS STRING) || ':' || CAST(`_receipt`.`subtask` AS STRING)
    AS `event_id`,
  `_receipt`.`job`, `_receipt`.`job_id`, `_receipt`.`checkpoint_id`, `_receipt`.`subtask`,
  '${topic}' AS `topic`,
  CAST(`_kafka_partition` AS BIGINT) AS `partition`,
  `_receipt`.`first_offset`, `_receipt`.`next_offset`, `_receipt`.`records`, `_receipt`.`stored`,
  `_receipt`.`late`, `_receipt`.`duplicates`, `_receipt`.`dead`,
  `_ingested_at` AS `timestamp`
FROM source_${event}
WHERE `_table` = 'commit_receipts';

CREATE TEMPORARY VIEW receipts AS
${all_receipts};

INSERT INTO ${lake}.commit_receipts (${commit_receipts})
SELECT ${commit_receipts} FROM receipts;
