"""The two ways in which Flink runs Python: a thread of the TaskManager's JVM, or a process beside it.

Flink falls back to the second without a word where it cannot do the first, so the operator looks for itself.
"""

from pathlib import Path
from typing import Final, Literal

from flink_jobs.rule_evaluation.settings import JobSettings

Mode = Literal["thread", "process"]
_BUNDLE_RECORDS: Final = 1_000
"""In process mode records cross in bundles, and a checkpoint waits for the one under way: Flink's 100,000 take
minutes."""


def options(settings: JobSettings) -> dict[str, str]:
    """Flink's configuration for the mode that is wanted."""
    common = {"python.execution-mode": settings.python_execution_mode, "pipeline.object-reuse": "true"}
    if settings.python_execution_mode == "thread":
        return common
    return common | {
        "python.fn-execution.bundle.size": str(_BUNDLE_RECORDS),
        # A bundle that is not full waits so long for more: Flink's 1,000 ms would be each event's latency.
        "python.fn-execution.bundle.time": str(max(1, settings.buffer_timeout_ms)),
        # Profiles whose bytes stay in the Python process. One that is not there is a round trip to the JVM.
        "python.state.cache-size": str(settings.cached_profiles),
    }


def actual(executable: Path = Path("/proc/self/exe")) -> Mode:
    """In which mode this very code runs: as a thread of a JVM, whose program is `java`, or in a Python process."""
    return "thread" if executable.resolve().name.startswith("java") else "process"
