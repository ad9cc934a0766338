#!/bin/sh
# The start of every container of the Flink image. `job` and `taskmanager` are the chart's own Flink; the Flink
# Kubernetes Operator gives a command of Flink's, found on the path.
set -eu
mkdir -p "$FLINK_LOG_DIR"
case "${1:-}" in
job)
    shift
    exec python -m flink_jobs.launch "$@"
    ;;
taskmanager)
    shift
    exec "$FLINK_HOME/bin/taskmanager.sh" start-foreground "$@"
    ;;
*) exec "$@" ;;
esac
