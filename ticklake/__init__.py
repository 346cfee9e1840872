"""The command line and the local stack: PostgreSQL, Kafka, Flink and Trino as plain processes."""
