"""Flink's processes as parts: the JobManager, the TaskManagers, and the program that keeps the job there."""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from local import java
from local.flink import config, home, jvm
from local.flink.rest import JobManager, Refused, Unclear
from local.layout import Layout
from local.model import NotReady, Part, PortUse, Step
from local.ports import HOST
from local.settings import ROOT, LocalSettings

JOBMANAGER: Final = "jobmanager"
JOB: Final = "rule-evaluation"
FIRST: Final = ("flink-files", "kafka")
Answer = TypeVar("Answer")


def address(settings: LocalSettings) -> str:
    """The web UI and REST interface."""
    return f"http://{HOST}:{settings.port('flink_rest_port')}"


def step(settings: LocalSettings, layout: Layout) -> Step:
    """Write the home and the configuration. Done beside running processes too, and so takes nothing away."""

    def prepare() -> None:
        home.make(layout)
        config.write(settings, layout)
        jvm.write_options(layout)
        layout.flink_temporary.mkdir(exist_ok=True)

    return Step("flink-files", "Flink's files", prepare)


def parts(
    settings: LocalSettings, layout: Layout, job_needs: tuple[str, ...], job_env: Mapping[str, str]
) -> list[Part]:
    """All of them. TaskManagers look for their JobManager by themselves, so that they start beside it.

    They do without Kafka until a job runs; but whatever starts beside Kafka on a small machine delays it, and with it
    the job's client, for which everything else has to wait in the end.
    """
    manager = JobManager(address(settings))
    job = Part(
        name=JOB,
        title="Rule evaluation",
        command=_job_command(settings, layout),
        probe=lambda: _job_probe(manager, settings.job_name),
        # The client builds the job's graph for many seconds before it needs the JobManager: not a reason to wait.
        needs=job_needs,
        address=address(settings) + "/#/job/running",
        environment={
            **jvm.environment(layout),
            **job_env,
            "AUDIENCE_CHECKPOINT_INTERVAL_MS": str(settings.checkpoint_interval_ms),
            "AUDIENCE_PYTHON_EXECUTION_MODE": settings.execution_mode,
        },
        stop_group=True,
    )
    return [
        _jobmanager(settings, layout, manager),
        *(_taskmanager(settings, layout, manager, n) for n in config.TASKMANAGERS),
        job,
    ]


def _jobmanager(settings: LocalSettings, layout: Layout, manager: JobManager) -> Part:
    def probe() -> str:
        seen = _ask(manager.overview)
        return f"{seen['taskmanagers']} TaskManagers, Flink {seen['flink-version']}"

    return Part(
        name=JOBMANAGER,
        title="Flink JobManager",
        command=jvm.jobmanager(layout),
        probe=probe,
        needs=FIRST,
        address=address(settings),
        ports=(
            PortUse(settings.port("flink_rest_port"), "flink_rest_port"),
            PortUse(settings.port("flink_rpc_port"), "flink_rpc_port"),
        ),
        environment=jvm.environment(layout),
        stop_wait_s=java.STOP_WAIT_S,
    )


def _taskmanager(settings: LocalSettings, layout: Layout, manager: JobManager, name: str) -> Part:
    def probe() -> str:
        if name not in _ask(manager.taskmanagers):
            raise NotReady("not registered with the JobManager (yet)")
        return "registered"

    return Part(
        name=name,
        title=f"Flink {name.replace('taskmanager-', 'TaskManager ')}",
        command=jvm.taskmanager(settings, layout, name),
        probe=probe,
        needs=FIRST,
        environment=jvm.environment(layout),
        stop_wait_s=java.STOP_WAIT_S,
    )


def _job_command(settings: LocalSettings, layout: Layout) -> tuple[str, ...]:
    script = ROOT / settings.job
    keeper = (str(layout.python), "-m", "local.flink.job", "--rest", address(settings), "--name", settings.job_name)
    states = ("--checkpoints", str(layout.checkpoints), "--savepoints", str(layout.savepoints))
    files = (*states, "--parallelism", str(layout.parallelism), "--script", str(script))
    return (*keeper, *files, "--", *jvm.client(layout), "run", "--detached")


def _job_probe(manager: JobManager, name: str) -> str:
    jobs = [job for job in _ask(lambda: manager.jobs(name)) if job.active]
    if not jobs:
        raise NotReady("not submitted (yet)")
    job = jobs[0]
    if not job.healthy:
        raise NotReady(f"job {job.id} is {job.state}, {job.running} of {job.tasks} tasks run")
    return f"job {job.id[:8]} runs, {job.tasks} tasks"


def _ask(question: Callable[[], Answer]) -> Answer:
    try:
        return question()
    except (Refused, Unclear) as error:
        raise NotReady(str(error)) from error
