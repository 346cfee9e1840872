-- Which of these event ids a table has; repeated for each table of the event, and united. Bound: the
-- ids, separated by spaces, and their first and last event time, by which files are passed over.
SELECT DISTINCT stored.event_id
FROM ${table} AS stored
JOIN (SELECT id FROM UNNEST(split(?, ' ')) AS given (id)) AS asked ON asked.id = stored.event_id
WHERE stored.${time} BETWEEN ? AND ?
