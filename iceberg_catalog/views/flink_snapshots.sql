-- Commits of Flink's jobs to the tables of bronze, and the checkpoint that each reaches: one row for
-- each snapshot that Flink made and that the table still descends from. An expired snapshot is gone
-- from here, a rollback takes its rows away, and a compaction adds none.
-- ${each_table}
SELECT
  '${table}' AS table_name,
  NULLIF('${topic}', '') AS topic,
  snapshot_id,
  CAST(committed_at AS timestamp(6) with time zone) AS committed_at,
  element_at(summary, 'flink.job-id') AS job_id,
  CAST(element_at(summary, 'flink.max-committed-checkpoint-id') AS bigint) AS checkpoint_id
FROM ${lake}.bronze."${table}$$snapshots"
WHERE element_at(summary, 'flink.job-id') IS NOT NULL
  AND snapshot_id IN (
    SELECT snapshot_id FROM ${lake}.bronze."${table}$$history" WHERE is_current_ancestor
  )
