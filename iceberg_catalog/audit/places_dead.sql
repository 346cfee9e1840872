-- Where the dead letters of a topic came from. Bound: the topic.
SELECT "partition" AS kafka_partition, "offset" AS kafka_offset
FROM dead_letters
WHERE topic = ?
