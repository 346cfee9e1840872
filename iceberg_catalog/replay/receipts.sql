-- What the bounded job says it has read, by partition. These receipts stay out of bronze: two
-- replays of one range would be an overlap in what is a chain there.
SELECT
  "partition", min(first_offset) AS first_offset, max(next_offset) AS next_offset,
  sum(records) AS records, sum(stored + late) AS stored, sum(duplicates) AS duplicates,
  sum(dead) AS dead
FROM ${receipts}
GROUP BY 1
ORDER BY 1
