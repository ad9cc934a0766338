"""`audience-ops job`: the streaming job's savepoints, over Flink's REST interface.

A savepoint is the job's whole state: to begin a new version of the job from, or the same one with another parallelism.
"""

import time
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import httpx
import typer
from tenacity import (
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_fixed,
    wait_random_exponential,
)

from services.operations.running import fail, load_settings

JOB_NAME: Final = "rule_evaluation"
_ACTIVE: Final = frozenset(("CREATED", "RUNNING", "RESTARTING"))
_ATTEMPTS: Final = 5
_TIMEOUT_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.5
Format = Literal["CANONICAL", "NATIVE"]

job = typer.Typer(help="The streaming job on Flink: savepoints.", no_args_is_help=True)


class FlinkAway(Exception):
    """The JobManager did not answer, or not in a way that could be understood."""


class NotTaken(Exception):
    """There is no job to take a savepoint of, or Flink failed to take it; the message says why."""


class _Unfinished(Exception):
    """Flink is still at work."""


@dataclass(frozen=True, slots=True)
class Savepoint:
    """Where a savepoint lies, and how long it took."""

    location: str
    took_s: float


class Flink:
    """A client. Every call raises FlinkAway after a few attempts; a question may be asked again, an order is not."""

    def __init__(self, address: str, transport: httpx.BaseTransport | None = None) -> None:
        self._client = httpx.Client(base_url=address, timeout=_TIMEOUT_S, trust_env=False, transport=transport)

    def job_id(self, name: str) -> str:
        """The id of the active job of that name. Raises NotTaken where there is none."""
        found = [each for each in self._get("/jobs/overview")["jobs"] if each["name"] == name]
        active = [str(each["jid"]) for each in found if each["state"] in _ACTIVE]
        if not active:
            states = ", ".join(each["state"] for each in found) or "none was submitted"
            raise NotTaken(f"no job {name} runs ({states})")
        return active[0]

    def savepoint(self, job_id: str, target: str | None, kind: Format, within_s: float, *, stop: bool) -> Savepoint:
        """Take one, and with `stop` end the job with it: nothing is processed after it. Raises NotTaken, FlinkAway."""
        began = time.monotonic()
        options = {"formatType": kind, **({"targetDirectory": target} if target else {})}
        if stop:
            order = ("stop", {**options, "drain": False})
        else:
            named = {
                ("target-directory" if name == "targetDirectory" else name): each for name, each in options.items()
            }
            order = ("savepoints", {**named, "cancel-job": False})
        trigger = str(self._call("POST", f"/jobs/{job_id}/{order[0]}", order[1])["request-id"])
        look = Retrying(
            retry=retry_if_exception_type(_Unfinished),
            wait=wait_fixed(_LOOK_EVERY_S),
            stop=stop_after_delay(within_s),
            reraise=True,
        )
        return Savepoint(look(self._location, job_id, trigger), time.monotonic() - began)

    def wait_until_ended(self, job_id: str, within_s: float) -> None:
        """Return when the job has ended. Raises NotTaken where it does not."""
        wait = Retrying(
            retry=retry_if_result(lambda state: state in _ACTIVE),
            wait=wait_fixed(_LOOK_EVERY_S),
            stop=stop_after_delay(within_s),
            retry_error_callback=lambda _: None,
        )
        if wait(lambda: str(self._get(f"/jobs/{job_id}")["state"])) is None:
            raise NotTaken(f"the savepoint is there, but job {job_id} did not end")

    def _location(self, job_id: str, trigger: str) -> str:
        answer = self._get(f"/jobs/{job_id}/savepoints/{trigger}")
        if answer["status"]["id"] != "COMPLETED":
            raise _Unfinished
        operation = answer["operation"]
        if "failure-cause" in operation:
            cause = str(operation["failure-cause"].get("stack-trace") or operation["failure-cause"].get("class"))
            raise NotTaken(f"Flink took no savepoint: {_reason(cause)}")
        return str(operation["location"])

    def _get(self, path: str) -> Any:
        ask = Retrying(
            retry=retry_if_exception_type(FlinkAway),
            wait=wait_random_exponential(multiplier=0.2, max=2),
            stop=stop_after_attempt(_ATTEMPTS),
            reraise=True,
        )
        return ask(self._call, "GET", path)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        try:
            return self._client.request(method, path, json=body).raise_for_status().json()
        except httpx.HTTPStatusError as error:
            raise FlinkAway(f"{path}: {error.response.status_code} {error.response.text[:500]}") from error
        except (httpx.HTTPError, ValueError) as error:
            raise FlinkAway(f"Flink at {self._client.base_url} does not answer: {error}") from error


def _reason(trace: str) -> str:
    """Of a Java stack trace the last cause, which says most."""
    lines = [line.strip() for line in trace.splitlines() if line.startswith("Caused by")] or trace.splitlines()
    return lines[-1] if lines else "no reason given"


TargetOption = Annotated[
    str | None, typer.Option("--to", help="The folder, as a URI that the cluster can write to; else its own setting.")
]
FormatOption = Annotated[
    Format, typer.Option("--format", help="CANONICAL may be restored into another state backend; NATIVE is faster.")
]
WithinOption = Annotated[float, typer.Option("--within", min=1, help="Seconds that it may take.")]
NameOption = Annotated[str, typer.Option("--job", help="The job's name.")]


@job.command("savepoint")
def savepoint(
    to: TargetOption = None,
    kind: FormatOption = "CANONICAL",
    within_s: WithinOption = 600.0,
    name: NameOption = JOB_NAME,
) -> None:
    """Take a savepoint and print where it is. The job goes on."""
    _take(to, kind, within_s, name, stop=False)


@job.command("stop")
def stop(
    to: TargetOption = None,
    kind: FormatOption = "CANONICAL",
    within_s: WithinOption = 600.0,
    name: NameOption = JOB_NAME,
) -> None:
    """Take a savepoint, end the job with it, and print where it is: to begin another version of the job from."""
    _take(to, kind, within_s, name, stop=True)


def _take(to: str | None, kind: Format, within_s: float, name: str, *, stop: bool) -> None:
    flink = Flink(load_settings().flink_url)
    try:
        job_id = flink.job_id(name)
        taken = flink.savepoint(job_id, to, kind, within_s, stop=stop)
        if stop:
            flink.wait_until_ended(job_id, within_s)
    except _Unfinished:
        fail(f"no savepoint within {within_s:g} s; Flink may still complete it")
    except (FlinkAway, NotTaken) as error:
        fail(str(error))
    typer.echo(f"{taken.location}\t{taken.took_s:.1f} s")
