"""The streaming job on preloaded Kafka, and beside what could stand in its place."""
