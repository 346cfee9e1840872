-- The same for the dead letters, whose own id is their place. Bound at the end: their topic.
SELECT "offset", CAST(NULL AS varchar), 'dead_letters'
FROM dead_letters
WHERE "partition" = ? AND "offset" >= ? AND "offset" < ? AND topic = ?
