"""Drivers behind the ports: Kafka, PostgreSQL, Aerospike, RE2. The only place where a driver is imported."""
