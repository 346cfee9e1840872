"""What an event is, and how it reaches Kafka."""
