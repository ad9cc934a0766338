"""The streaming jobs. A job translates between Flink and `audience`; it decides nothing itself."""
