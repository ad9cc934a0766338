"""What the JobManager's REST interface tells about jobs and TaskManagers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

ACTIVE: Final = frozenset(
    {"INITIALIZING", "CREATED", "RUNNING", "RESTARTING", "FAILING", "CANCELLING", "RECONCILING", "SUSPENDED"}
)


class Refused(Exception):
    """Nothing listens there: no JobManager runs, and so no job does."""


class Unclear(Exception):
    """No answer that could be understood. Whether a job runs is not known."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the JobManager sees it. `running` of `tasks` subtasks run."""

    id: str
    name: str
    state: str
    started_ms: int
    running: int
    tasks: int

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def healthy(self) -> bool:
        return self.state == "RUNNING" and self.tasks > 0 and self.running == self.tasks


class JobManager:
    """A client of the REST interface. Each call raises Refused or Unclear where there is no good answer."""

    def __init__(self, address: str) -> None:
        self._address = address
        # Kept: a new client for each question would read the system's certificates each time.
        self._client = httpx.Client(timeout=5.0, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

    def overview(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._get("/overview")
        return answer

    def jobs(self, name: str) -> Sequence[Job]:
        """The jobs of that name, those that ended too, the earliest first."""
        found = [
            Job(
                id=job["jid"],
                name=job["name"],
                state=job["state"],
                started_ms=job["start-time"],
                running=job["tasks"]["running"],
                tasks=job["tasks"]["total"],
            )
            for job in self._get("/jobs/overview")["jobs"]
            if job["name"] == name
        ]
        return sorted(found, key=lambda job: job.started_ms)

    def taskmanagers(self) -> frozenset[str]:
        """The ids of the TaskManagers that are registered."""
        return frozenset(each["id"] for each in self._get("/taskmanagers")["taskmanagers"])

    def cancel(self, job: str) -> None:
        self._call("PATCH", f"/jobs/{job}?mode=cancel")

    def _get(self, path: str) -> Any:
        return self._call("GET", path).json()

    def _call(self, method: str, path: str) -> httpx.Response:
        try:
            answer = self._client.request(method, self._address + path)
            return answer.raise_for_status()
        except httpx.ConnectError as error:
            raise Refused(f"{self._address} does not listen") from error
        except httpx.HTTPError as error:
            raise Unclear(f"{self._address}{path}: {type(error).__name__} {error}") from error
