-- Where the rows of a table came from.
SELECT _kafka_partition AS kafka_partition, _kafka_offset AS kafka_offset
FROM ${table}
