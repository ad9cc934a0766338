"""Load scenarios, benchmarks and comparisons with peers."""
