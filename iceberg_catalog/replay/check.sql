-- Every staged event is in bronze, with what is to be added to it, exactly once.
-- staged_rows: what the job wrote; staged: how many events; added: rows to be added; found, events:
-- their rows and ids among the candidate, which is bronze and the added rows, or a branch of it.
WITH staged AS (
  SELECT event_id FROM (${staged})
)
SELECT
  (SELECT count(*) FROM staged) AS staged_rows,
  (SELECT count(DISTINCT event_id) FROM staged) AS staged,
  (SELECT count(*) FROM ${missing}) AS added,
  count(*) AS found,
  count(DISTINCT event_id) AS events,
  (SELECT min("${known}") FROM ${missing}) AS first_arrival
FROM (${candidate})
WHERE (${spans}) AND event_id IN (SELECT event_id FROM staged)
