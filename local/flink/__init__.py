"""Apache Flink: one JobManager, two TaskManagers, and the job that is kept running on them."""
