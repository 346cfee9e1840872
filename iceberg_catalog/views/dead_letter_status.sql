-- Every dead letter with what became of it: open, sent, replayed, duplicate, failed_again or parked.
-- A sending again is known by its place, the partition and offset that the broker gave it:
--   replayed      a bronze row has that place: it is the repaired one (stored_*);
--   failed_again  a dead letter has that place, or names this one in its headers (newer_id);
--   duplicate     the event was stored already, so the job dropped the sending (stored_*);
--   sent          none of these is committed yet.
-- Never sent again: open, or parked from ${most_attempts} attempts on. `attempts` counts how often
-- the record had been sent again before it became this dead letter, the last time from earlier_id.
-- Both joins with `stored` are pruned: by offsets, by event time.
WITH stored AS (
  ${stored}
),
-- What the record itself says finds also a sending that was never noted: who sent it broke off.
letters AS (
  SELECT *,
    try(from_utf8(from_base64(json_extract_scalar(
      element_at(
        filter(
          CAST(json_parse(headers) AS array(json)),
          header -> json_extract_scalar(header, '$[0]') = '${dead_letter_header}'
        ), -1
      ), '$[1]'
    )))) AS named_id
  FROM ${lake}.bronze.dead_letters
),
outcomes AS (
  SELECT r.dead_letter_id, 1 AS rank, 'replayed' AS status, s.table_name, s."partition", s."offset",
    CAST(NULL AS varchar) AS newer_id
  FROM ${lake}.bronze.dead_letter_replays AS r
  JOIN stored AS s
    ON s.topic = r.topic AND s."partition" = r."partition" AND s."offset" = r."offset"
  UNION ALL
  SELECT r.dead_letter_id, 2, 'failed_again', NULL, NULL, NULL, d.event_id
  FROM ${lake}.bronze.dead_letter_replays AS r
  JOIN ${lake}.bronze.dead_letters AS d ON d.event_id = r.event_id
  UNION ALL
  SELECT named_id, 2, 'failed_again', NULL, NULL, NULL, event_id
  FROM letters
  WHERE named_id IS NOT NULL
  UNION ALL
  SELECT r.dead_letter_id, 3, 'duplicate', s.table_name, s."partition", s."offset", NULL
  FROM ${lake}.bronze.dead_letter_replays AS r
  JOIN stored AS s
    ON s.topic = r.topic AND s.event_id = r.sent_event_id AND s.event_time = r.sent_event_time
  UNION ALL
  SELECT dead_letter_id, 4, 'sent', NULL, NULL, NULL, NULL
  FROM ${lake}.bronze.dead_letter_replays
),
-- A late trade is in late_trades and, once merged, in raw_trades: the latter is told.
best AS (
  SELECT *,
    row_number() OVER (
      PARTITION BY dead_letter_id ORDER BY rank, table_name DESC, newer_id DESC
    ) AS nth
  FROM outcomes
),
counted AS (
  SELECT l.*,
    coalesce(r.dead_letter_id, l.named_id) AS earlier_id,
    greatest(coalesce(l.attempts, 0), coalesce(r.attempt, 0)) AS times
  FROM letters AS l
  LEFT JOIN ${lake}.bronze.dead_letter_replays AS r ON r.event_id = l.event_id
)
SELECT
  c.event_id, c.topic, c."partition", c."offset", c."timestamp", c.error_code, c.error_message,
  c.record_key, c.payload, c.headers, c.times AS attempts,
  coalesce(b.status, IF(c.times >= ${most_attempts}, 'parked', 'open')) AS status,
  c.earlier_id,
  b.newer_id,
  b.table_name AS stored_table,
  b."partition" AS stored_partition,
  b."offset" AS stored_offset
FROM counted AS c
LEFT JOIN best AS b ON b.dead_letter_id = c.event_id AND b.nth = 1
