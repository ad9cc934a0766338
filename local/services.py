"""The platform's own processes as parts, and the steps that prepare what they store in."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from local import commands
from local.kafka.part import NAME as KAFKA
from local.layout import Layout
from local.model import PYTHON_SERVICE_STOP_S, NotReady, Part, PortUse, Step
from local.ports import HOST
from local.postgres.part import NAME as POSTGRES
from local.postgres.part import dsn
from local.settings import PREFIX, LocalSettings

MIGRATE: Final = "schema"
TOPICS: Final = "topics"
CREDENTIALS: Final = "credentials"
OURS: Final = "AUDIENCE_"
ALSO_OURS: Final = ("AEROSPIKE_HOSTS", "LAKE_URL")
AWS: Final = "AWS_"
"""Where the lake lies on S3: its address and credentials, in the variables of AWS's own tools."""
NOT_PASSED: Final = (PREFIX, "AUDIENCE_TEST_")


@dataclass(frozen=True, slots=True)
class Service:
    """A service: its part's name and title, its module, the setting of its port, what must be there first."""

    name: str
    title: str
    module: str
    port_field: str
    needs: tuple[str, ...]


SERVICES: Final = (
    Service("projection", "Projection", "services.projection", "projection_port", (MIGRATE, TOPICS)),
    Service("archive", "Archive", "services.archive", "archive_port", (MIGRATE, TOPICS)),
    Service("ingest-api", "Ingest API", "services.ingest", "ingest_port", (CREDENTIALS, TOPICS)),
    Service("segment-api", "Segment API", "services.segments", "segments_port", (CREDENTIALS, TOPICS)),
)


def environment(settings: LocalSettings, layout: Layout, given: Mapping[str, str]) -> dict[str, str]:
    """What every process of ours reads. Of the caller's variables AUDIENCE_*, AWS_* and ALSO_OURS go along."""
    passed = {
        name: value
        for name, value in given.items()
        if (name.startswith((OURS, AWS)) and not name.startswith(NOT_PASSED)) or name in ALSO_OURS
    }
    return {
        "LAKE_URL": str(layout.lake),
        **passed,
        "AUDIENCE_ENVIRONMENT": "local",
        "AUDIENCE_HOST": HOST,
        "AUDIENCE_INGEST_URL": f"http://{HOST}:{settings.port('ingest_port')}",
        "AUDIENCE_KAFKA_BOOTSTRAP_SERVERS": kafka(settings),
        "AUDIENCE_POSTGRES_DSN": dsn(settings),
        "AUDIENCE_TOPIC_PARTITIONS": "2",
        "PYTHONUNBUFFERED": "1",
    }


def url(settings: LocalSettings, port_field: str) -> str:
    return f"http://{HOST}:{settings.port(port_field)}"


def kafka(settings: LocalSettings) -> str:
    """The broker's address."""
    return f"{HOST}:{settings.port('kafka_port')}"


def parts(settings: LocalSettings, layout: Layout, env: Mapping[str, str]) -> list[Part]:
    # One for all: to read the system's certificates takes long. Nobody closes it, so it keeps no connection.
    client = httpx.Client(timeout=4.0, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
    return [_part(service, settings, layout, env, client) for service in SERVICES]


def steps(layout: Layout, env: Mapping[str, str]) -> list[Step]:
    """The one-off commands of `audience-ops`. Each waits by itself for what it needs, and may be done again."""

    def step(name: str, title: str, arguments: tuple[str, ...], needs: tuple[str, ...]) -> Step:
        command = [str(layout.python), "-m", "services.operations", *arguments]

        def work() -> None:
            commands.run(command, folder=layout.root, environment={"PATH": os.defpath, **env})

        return Step(name, title, work, needs)

    return [
        step(MIGRATE, "Database schema", ("migrate",), (POSTGRES,)),
        step(TOPICS, "Kafka topics", ("topics", "create"), (KAFKA,)),
        step(CREDENTIALS, "Demo credentials", ("demo-credentials",), (MIGRATE,)),
    ]


def _part(
    service: Service, settings: LocalSettings, layout: Layout, env: Mapping[str, str], client: httpx.Client
) -> Part:
    port = settings.port(service.port_field)
    address = url(settings, service.port_field)
    if service.port_field == "ingest_port":
        env = {**env, "AUDIENCE_INGEST_SPOOL": str(layout.spool)}
    return Part(
        name=service.name,
        title=service.title,
        command=(str(layout.python), "-m", service.module),
        probe=lambda: ready(client, address),
        needs=service.needs,
        address=address,
        ports=(PortUse(port, service.port_field),),
        environment={**env, "AUDIENCE_PORT": str(port)},
        stop_wait_s=PYTHON_SERVICE_STOP_S,
    )


def ready(client: httpx.Client, address: str) -> str:
    """Ask a service whether it can do its work. Raises NotReady with the dependencies that are away."""
    try:
        answer = client.get(f"{address}/readyz")
    except httpx.HTTPError as error:
        raise NotReady(f"does not answer: {type(error).__name__}") from error
    if answer.status_code == httpx.codes.OK:
        return "ready"
    try:
        states = answer.json()["dependencies"]
        away = [f"{name}: {state.get('message', '')}" for name, state in states.items() if state["status"] != "ok"]
    except (ValueError, KeyError, TypeError) as error:
        raise NotReady(f"answers /readyz with {answer.status_code}") from error
    raise NotReady("; ".join(away) or f"answers /readyz with {answer.status_code}")
