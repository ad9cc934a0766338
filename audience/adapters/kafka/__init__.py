"""Kafka, over librdkafka. The only users of confluent_kafka."""
