-- What each snapshot by Flink covers: by topic and partition the offsets read, and what became of the
-- records: stored, late, duplicates, dead. The counts are of the checkpoints behind
-- `after_checkpoint_id` up to `checkpoint_id`, for all tables of the topic together; a snapshot of
-- one table covers what its checkpoints read, whichever table the rows went to.
-- `after_checkpoint_id` is the run's previous commit to that table; NULL for its first one, and for
-- the oldest whose predecessor has expired: its counts are then those of the run up to there. The
-- topic is NULL where a job had no input.
WITH commits AS (
  SELECT
    *,
    lag(checkpoint_id) OVER (PARTITION BY table_name, job_id ORDER BY checkpoint_id)
      AS after_checkpoint_id
  FROM ${lake}.bronze.flink_snapshots
)
SELECT
  snap.table_name,
  snap.snapshot_id,
  snap.committed_at,
  snap.job_id,
  snap.after_checkpoint_id,
  snap.checkpoint_id,
  receipt.topic,
  receipt."partition",
  min(receipt.first_offset) AS first_offset,
  max(receipt.next_offset) AS next_offset,
  sum(receipt.records) AS records,
  sum(receipt.stored) AS stored,
  sum(receipt.late) AS late,
  sum(receipt.duplicates) AS duplicates,
  sum(receipt.dead) AS dead
FROM commits AS snap
LEFT JOIN ${lake}.bronze.commit_receipts AS receipt
  ON receipt.job_id = snap.job_id
  AND receipt.checkpoint_id > coalesce(snap.after_checkpoint_id, -1)
  AND receipt.checkpoint_id <= snap.checkpoint_id
  AND (snap.topic IS NULL OR receipt.topic = snap.topic)
GROUP BY
  snap.table_name, snap.snapshot_id, snap.committed_at, snap.job_id, snap.after_checkpoint_id,
  snap.checkpoint_id, receipt.topic, receipt."partition"
