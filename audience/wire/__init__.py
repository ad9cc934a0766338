"""msgspec schemas of the Kafka topics, and the versioned codec of a profile's state."""
