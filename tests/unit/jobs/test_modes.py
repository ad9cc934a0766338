"""Which way Flink runs Python, and the settings for each."""

from pathlib import Path

from flink_jobs.rule_evaluation.modes import actual, options
from flink_jobs.rule_evaluation.settings import JobSettings


def test_a_jvm_that_runs_python_is_thread_mode(tmp_path: Path) -> None:
    for program, mode in (("java", "thread"), ("python3.11", "process")):
        (tmp_path / program).touch()
        link = tmp_path / f"exe-{mode}"
        link.symlink_to(tmp_path / program)
        assert actual(link) == mode
    assert actual() == "process"  # these tests run in a Python of their own


def test_in_process_mode_an_event_waits_no_longer_than_between_operators() -> None:
    assert options(JobSettings())["python.execution-mode"] == "thread"
    found = options(JobSettings(python_execution_mode="process", buffer_timeout_ms=7, cached_profiles=123))
    assert found["python.execution-mode"] == "process"
    assert found["python.fn-execution.bundle.time"] == "7"
    assert found["python.state.cache-size"] == "123"
