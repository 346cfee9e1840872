-- The first event id that stands in a table more than once, how often, and in which files. Bound:
-- a mask over the id's hash and the value under it, which choose one slice of the ids, so that a
-- slice fits into memory; the time from which on a row must have come.
SELECT event_id, count(*), array_join(array_sort(array_distinct(array_agg("$$path"))), ' ')
FROM ${table}
WHERE bitwise_and(from_big_endian_64(xxhash64(to_utf8(event_id))), ?) = ?
GROUP BY event_id
HAVING count(*) > 1 AND max(${known_at}) >= ?
ORDER BY min(${known_at}), event_id
LIMIT 1
