"""The rights that the chart gives each program in Kafka are enough, and no more: one broker that asks for certificates.

Kafka's users and rights are those of the production overlay as it renders. Every program runs under its own user; then
an event becomes a membership, and the broker has denied nothing.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but its types do not say so
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from audience.adapters.kafka.producer import open_event_log
from audience.wire.topics import EVENTS, EVENTS_BAD
from local import services
from local.flink import part as flink
from local.kafka import part as kafka
from local.model import NotReady, Part
from local.ports import HOST
from local.postgres import part as postgres
from local.settings import ROOT
from tests.chart.rendering import Resource, rendered
from tests.integration.local.running import LocalPlatform, platform_in, wait_until

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]
WORKERS = {"projection": "projection_port", "archive": "archive_port"}
APIS = {"ingest-api": "ingest_port", "segment-api": "segments_port"}
AUTHORIZER = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
NOBODY = "nobody"


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)  # noqa: S603, S607


@dataclass
class Authority:
    """Signs certificates; their files lie in `folder`."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
            "-keyout", f"{self.folder}/ca.key", "-out", f"{self.folder}/ca.crt",
        )  # fmt: skip

    def sign(self, name: str) -> Path:
        """A certificate for `name` on this machine; one file holds the key and it."""
        key, request, found, names = (self.folder / f"{name}.{end}" for end in ("key", "csr", "crt", "ext"))
        names.write_text(f"subjectAltName=IP:{HOST},DNS:localhost\n")
        options = ("-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
        openssl("req", *options)
        openssl(
            "x509", "-req", "-in", str(request), "-days", "2", "-CA", f"{self.folder}/ca.crt", "-CAkey",
            f"{self.folder}/ca.key", "-CAcreateserial", "-extfile", str(names), "-out", str(found),
        )  # fmt: skip
        together = self.folder / f"{name}.pem"
        together.write_text(key.read_text() + found.read_text())
        return together


@dataclass
class Guarded:
    """The platform's parts around a broker that asks who somebody is."""

    local: LocalPlatform
    authority: Authority
    logs: Path
    running: ExitStack
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return self.local.settings.port("kafka_port") + 7

    def address(self, user: str) -> str:
        """The broker's, as the settings of a program of that user hold it."""
        file = self.authority.folder / f"{user}.pem"
        return f"ssl://{HOST}:{self.port}?ca={self.authority.folder}/ca.crt&certificate={file}&key={file}"

    def environment(self, user: str) -> dict[str, str]:
        told = services.environment(self.local.settings, self.local.layout, {})
        return {**told, "AUDIENCE_KAFKA_BOOTSTRAP_SERVERS": self.address(user), "PATH": os.environ["PATH"]}

    def start(self, part: Part, environment: Mapping[str, str]) -> None:
        """Run a part until the end of the tests."""
        output = self.running.enter_context((self.logs / f"{part.name}.log").open("wb"))
        process = subprocess.Popen(  # noqa: S603
            [*part.become, *part.command], cwd=ROOT, env={"PATH": os.environ["PATH"], **environment},
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.processes[part.name] = process
        self.running.callback(process.wait, 30)
        self.running.callback(process.terminate)

    def wait(self, name: str, probe: Callable[[], object]) -> None:
        """Until the part is healthy."""

        def healthy() -> bool:
            process = self.processes[name]
            assert process.poll() is None, (self.logs / f"{name}.log").read_text()[-4000:]
            try:
                probe()
            except NotReady:
                return False
            return True

        wait_until(f"{name} is ready:\n{self.denied()}", healthy)

    def operations(self, *arguments: str, user: str) -> str:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "services.operations", *arguments], cwd=ROOT, env=self.environment(user),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def denied(self) -> list[str]:
        """What the broker refused, but for what a test asked in vain on purpose."""
        lines = (self.logs / "kafka.log").read_text().splitlines()
        return [line for line in lines if "is Denied" in line and f"User:{NOBODY} " not in line]


def users() -> Mapping[str, Resource]:
    """The rights by user, without the prefix of their Secrets."""
    return {
        each["metadata"]["name"].removeprefix("kafka-user-"): each["spec"]["authorization"]["acls"]
        for each in rendered("production")
        if each["kind"] == "KafkaUser"
    }


def bindings(user: str, acls: Any) -> Iterator[AclBinding]:
    """As Strimzi's operator makes them."""
    patterns = {"literal": ResourcePatternType.LITERAL, "prefix": ResourcePatternType.PREFIXED}
    kinds = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "cluster": ResourceType.BROKER}
    for acl in acls:
        resource = acl["resource"]
        for operation in acl["operations"]:
            words = "".join(f"_{letter}" if letter.isupper() else letter for letter in operation).lstrip("_").upper()
            yield AclBinding(
                kinds[resource["type"]],
                resource.get("name", "kafka-cluster"),
                patterns[resource.get("patternType", "literal")],
                f"User:{user}",
                "*",
                AclOperation[words],
                AclPermissionType.ALLOW,
            )


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    rights = users()
    data = tmp_path_factory.mktemp("guarded")
    local = platform_in(data / "data")
    layout, settings = local.layout, local.settings
    for folder in (layout.data, data / "logs"):
        folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as running:
        made = Guarded(local, Authority(data / "ca"), data / "logs", running)
        for name in ("broker", NOBODY, *rights):
            made.authority.sign(name)
        for folder in (layout.run, layout.logs):
            folder.mkdir(parents=True, exist_ok=True)
        for step in (kafka.step(settings, layout), postgres.step(settings, layout), flink.step(settings, layout)):
            step.run()
        guard(made)
        broker, database = kafka.part(settings, layout, ()), postgres.part(settings, layout, ())
        for part in (broker, database):
            made.start(part, part.environment)
        for part in (broker, database):
            made.wait(part.name, part.probe)
        # Without a certificate a client is a super user here: it stands for Strimzi's operator.
        operator = AdminClient({"bootstrap.servers": local.kafka_bootstrap})
        for user, acls in rights.items():
            for done in operator.create_acls(list(bindings(user, acls))).values():
                done.result(20)
        yield made


def guard(made: Guarded) -> None:
    """A second listener, for certificates alone; who has one may do what he has a right to."""
    file = made.local.layout.kafka / "server.properties"
    settings = dict(line.split("=", 1) for line in file.read_text().splitlines())
    settings |= {
        "listeners": settings["listeners"] + f",SSL://{HOST}:{made.port}",
        "advertised.listeners": settings["advertised.listeners"] + f",SSL://{HOST}:{made.port}",
        "listener.security.protocol.map": settings["listener.security.protocol.map"] + ",SSL:SSL",
        "ssl.client.auth": "required",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(made.authority.folder / "broker.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(made.authority.folder / "ca.crt"),
        "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/",
        "authorizer.class.name": AUTHORIZER,
        "super.users": "User:ANONYMOUS",
    }
    file.write_text("\n".join(f"{name}={value}" for name, value in settings.items()) + "\n")


def test_every_program_may_do_its_work(guarded: Guarded) -> None:
    local = guarded.local
    guarded.operations("migrate", "--wait", "60", user="prepare")
    assert "events" in guarded.operations("topics", "create", "--wait", "60", user="prepare")
    guarded.operations("demo-credentials", user="prepare")
    job = flink.parts(local.settings, local.layout, (), guarded.environment("flink"))
    ours = {each.name: each for each in services.parts(local.settings, local.layout, {})}
    for part in job:
        guarded.start(part, {**guarded.environment("flink"), **part.environment})
    for name in (*WORKERS, *APIS):
        guarded.start(ours[name], {**ours[name].environment, **guarded.environment(name), **ports_of(local, name)})
    with httpx.Client(timeout=10) as client:
        guarded.wait(flink.JOB, lambda: job_runs(client, local.flink_url))
        for name in (*WORKERS, *APIS):
            guarded.wait(name, lambda name=name: services.ready(client, ours[name].address))  # type: ignore[misc]

    api = httpx.Client(base_url=local.segments_url, headers={"Authorization": f"Bearer {local.api_token}"}, timeout=30)
    ingest = httpx.Client(base_url=local.ingest_url, auth=(local.write_key, ""), timeout=30)
    with api, ingest:
        rule = {"event": "Signed Up"}
        assert api.post("/v1/segments", json={"key": "signed", "rule": rule, "status": "live"}).status_code == 201
        trait = {"key": "sign-ups", "measure": {"event": "Signed Up"}}
        api.post("/v1/computed-traits", json=trait)
        ingest.post("/v1/track", json={"event": "Nobody's"})

        def signed() -> bool:
            """Again and again: an event from before the segment is in effect counts in none."""
            ingest.post("/v1/track", json={"userId": "ada", "event": "Signed Up"})
            time.sleep(1)
            return keys_of(api, "ada") == ["signed"]

        wait_until(f"ada is a member:\n{guarded.denied()}", signed, 60)
        assert api.get("/v1/spaces/demo/collections/users/profiles/user_id:ada/events").status_code == 200
        explained = api.get("/v1/profiles/ada/explain/signed")
        assert explained.status_code == 200, explained.text
        wait_until(f"the lake has her:\n{guarded.denied()}", lambda: preview(api, rule) == 1, 60)
        assert api.get("/v1/bad-events").status_code == 200
        # How far the work has come is asked of Kafka and of the job.
        wait_until(f"freshness:\n{guarded.denied()}", lambda: evaluated_at(api) is not None, 60)
    guarded.operations("stores", "verify", "--settle", "5", user="verify")
    assert guarded.denied() == []


async def test_what_a_killed_ingest_left_in_doubt_may_be_looked_for(guarded: Guarded) -> None:
    async with open_event_log(guarded.address("ingest-api"), "test", topics=(EVENTS, EVENTS_BAD)) as log:
        assert await log.find(0, {1}) == set()
    assert guarded.denied() == []


def test_who_has_no_right_is_refused(guarded: Guarded) -> None:
    """The broker does ask: else the other test would say nothing."""
    pem = str(guarded.authority.folder / f"{NOBODY}.pem")
    refused: list[Any] = []
    producer = Producer({
        "bootstrap.servers": f"{HOST}:{guarded.port}", "security.protocol": "ssl", "ssl.key.location": pem,
        "ssl.ca.location": str(guarded.authority.folder / "ca.crt"), "ssl.certificate.location": pem,
    })  # fmt: skip
    producer.produce("events", b"x", on_delivery=lambda error, _: refused.append(error))
    producer.flush(20)
    assert "uthoriz" in str(refused[0])


def job_runs(client: httpx.Client, address: str) -> None:
    try:
        jobs = client.get(f"{address}/jobs/overview").json()["jobs"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise NotReady(str(error)) from error
    if [each["state"] for each in jobs] != ["RUNNING"]:
        raise NotReady(str(jobs))


def ports_of(local: LocalPlatform, name: str) -> dict[str, str]:
    return {"AUDIENCE_PORT": str(local.settings.port({**WORKERS, **APIS}[name]))}


def keys_of(api: httpx.Client, person: str) -> list[str]:
    answer = api.get(f"/v1/profiles/{person}/segments")
    return [each["key"] for each in answer.json()["segments"]] if answer.status_code == 200 else []


def preview(api: httpx.Client, rule: Mapping[str, Any]) -> int | None:
    answer = api.post("/v1/segments/preview", json={"rule": rule, "time_limit_ms": 10_000})
    return answer.json()["size"] if answer.status_code == 200 else None


def evaluated_at(api: httpx.Client) -> Any:
    return api.get("/v1/segments/signed").json()["evaluated_at"]
