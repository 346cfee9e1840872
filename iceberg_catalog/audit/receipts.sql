-- Receipts, one row for each checkpoint and partition, in the order of their offsets; the parallel
-- parts of one checkpoint together. Bound: the topics (JSON), the oldest append time.
-- Settled is what every table has committed. The tables of one checkpoint are committed
-- milliseconds apart, by the next checkpoint all are done. So only the newest checkpoint of the
-- newest run of each job is not settled, unless some table has a later one already: a job without
-- input commits an empty snapshot now and then.
WITH newest_run AS (
  SELECT run.job, max_by(run.job_id, snap.committed_at) AS job_id
  FROM flink_snapshots AS snap
  JOIN (SELECT DISTINCT job, job_id FROM commit_receipts) AS run ON run.job_id = snap.job_id
  WHERE snap.table_name = 'commit_receipts'
  GROUP BY run.job
),
reached AS (
  SELECT job_id, max(checkpoint_id) AS checkpoint_id
  FROM (
    SELECT job_id, checkpoint_id FROM flink_snapshots
    UNION ALL
    SELECT job_id, checkpoint_id FROM commit_receipts
  )
  GROUP BY job_id
),
unsettled AS (
  SELECT run.job_id, reached.checkpoint_id
  FROM newest_run AS run
  JOIN reached ON reached.job_id = run.job_id
)
SELECT
  receipt.topic,
  receipt."partition",
  receipt.job,
  receipt.job_id,
  receipt.checkpoint_id,
  min(receipt.first_offset) AS first_offset,
  max(receipt.next_offset) AS next_offset,
  sum(receipt.records) AS records,
  sum(receipt.stored) AS stored,
  sum(receipt.late) AS late,
  sum(receipt.duplicates) AS duplicates,
  sum(receipt.dead) AS dead,
  bool_and(
    receipt.records = receipt.stored + receipt.late + receipt.duplicates + receipt.dead
  ) AS adds_up
FROM commit_receipts AS receipt
LEFT JOIN unsettled
  ON unsettled.job_id = receipt.job_id AND unsettled.checkpoint_id = receipt.checkpoint_id
WHERE unsettled.job_id IS NULL
  AND contains(CAST(json_parse(?) AS array(varchar)), receipt.topic)
  AND receipt."timestamp" >= ?
GROUP BY
  receipt.topic, receipt."partition", receipt.job, receipt.job_id, receipt.checkpoint_id
ORDER BY receipt.topic, receipt."partition", first_offset, next_offset, receipt.checkpoint_id
