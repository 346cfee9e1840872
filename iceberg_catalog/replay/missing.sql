-- What a replay has and bronze has not, each event once: its first copy in the order of arrival.
-- Bronze is read on the days of the staged rows only, and only ids that are staged are kept of it.
INSERT INTO ${missing} (${columns})
WITH landed AS (
  SELECT ${columns}, ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY ${arrival}) AS nth
  FROM (${staged})
)
SELECT ${columns}
FROM landed
WHERE nth = 1
  AND event_id NOT IN (
    SELECT event_id
    FROM ${bronze}
    WHERE (${spans}) AND event_id IN (SELECT event_id FROM (${staged}))
  )
