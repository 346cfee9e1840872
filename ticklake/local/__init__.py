"""The local stack: PostgreSQL, Kafka, Flink and Trino as plain processes on loopback."""
