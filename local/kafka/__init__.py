"""Apache Kafka: one broker that is its own controller (KRaft), with the settings of the demo."""
