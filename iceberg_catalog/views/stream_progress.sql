-- How far the stream is known to be complete: every tick of market.ticks.v1 that the broker
-- appended before `complete_through` is committed in bronze.
-- A heartbeat rides behind all earlier records of its partition, so in the checkpoint that commits
-- it, or before, they are committed too. The other tables' commits of the newest checkpoint may
-- still be under way; by the next one they are done. Rows of the newest commit are left out.
-- An empty commit by which `ticklake maintain` carries a marker is no news of the stream.
-- NULL until each of the ${partitions} partitions was heard.
WITH newest AS (
  SELECT committed_at, snapshot_id
  FROM ${lake}.bronze."feed_heartbeats$snapshots"
  WHERE element_at(summary, 'flink.job-id') IS NOT NULL
    AND element_at(summary, 'ticklake.carried-ms') IS NULL
  ORDER BY committed_at DESC
  LIMIT 1
),
-- A compaction right behind the newest commit may have rewritten its rows into files of its own.
unsettled AS (
  SELECT s.snapshot_id
  FROM ${lake}.bronze."feed_heartbeats$snapshots" AS s
  CROSS JOIN newest AS n
  WHERE s.snapshot_id = n.snapshot_id
    OR (s.committed_at >= n.committed_at AND s.committed_at < n.committed_at + INTERVAL '1' MINUTE)
),
excluded AS (
  SELECT e.data_file.file_path AS file_path
  FROM ${lake}.bronze."feed_heartbeats$entries" AS e
  JOIN unsettled AS u ON u.snapshot_id = e.snapshot_id
),
heard AS (
  SELECT _kafka_partition, max(_ingested_at) AS heard_until
  FROM ${lake}.bronze.feed_heartbeats
  WHERE "$path" NOT IN (SELECT file_path FROM excluded)
  GROUP BY _kafka_partition
)
SELECT
  CASE WHEN count(*) = ${partitions} THEN min(heard_until) END AS complete_through,
  count(*) AS partitions
FROM heard
