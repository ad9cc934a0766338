"""Submits the job: ``flink run -py flink_jobs/rule_evaluation/__main__.py``, with settings from the environment."""

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment

from flink_jobs.rule_evaluation.modes import options
from flink_jobs.rule_evaluation.settings import JobSettings
from flink_jobs.rule_evaluation.topology import JOB_NAME, build


def main() -> None:
    """Build the graph and hand it to the cluster that the Flink client was pointed to."""
    settings = JobSettings()
    config = Configuration()
    for name, value in options(settings).items():
        config.set_string(name, value)
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_parallelism(settings.parallelism)
    env.set_max_parallelism(settings.max_parallelism)
    env.enable_checkpointing(settings.checkpoint_interval_ms)
    env.set_buffer_timeout(settings.buffer_timeout_ms)
    build(env, settings)
    env.execute(JOB_NAME)


if __name__ == "__main__":
    main()
