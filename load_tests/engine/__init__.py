"""Benchmarks of the engine alone: one process, no Kafka, no Flink."""
