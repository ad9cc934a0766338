"""The demo on a real node: from nothing to the segments, an upgrade and kills under load, and nothing left behind."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.sample.segments import SEGMENTS
from local.settings import ROOT
from tests.cluster import pages
from tests.cluster.conftest import NAMESPACE, Demo, found, helm, kubectl, values_files
from tests.faults.trial import Rules, Trial

CHART = str(ROOT / "helm/audience-manager")
PARTS = (
    ("ingest-api", "ingest-api"), ("segment-api", "segment-api"), ("worker", "projection"), ("worker", "archive"),
    ("flink", "taskmanager"), ("flink", "jobmanager"), ("postgres", "postgres"), ("kafka", "kafka"),
    ("prometheus", "prometheus"),
)  # fmt: skip
EVENTS_PER_S = 60.0
FRESH_S = 20.0
PEOPLE = 40
APART = 100_000
RUN = int(time.time()) * APART * 100
"""The people of one trial are others than those of any other, on a demo that stays too."""
SAMPLE = frozenset(each.key for each in SEGMENTS)


def pods() -> list[Any]:
    return [each for each in found("pods", NAMESPACE) if each["status"]["phase"] != "Succeeded"]


def restarts() -> dict[str, int]:
    return {
        f"{pod['metadata']['name']}/{each['name']}": each["restartCount"]
        for pod in pods()
        for each in pod["status"]["containerStatuses"]
    }


def ready() -> bool:
    return all(each["ready"] for pod in pods() for each in pod["status"].get("containerStatuses", [{"ready": False}]))


def wait_until_ready(within_s: float = 240) -> None:
    deadline = time.monotonic() + within_s
    while not ready():
        assert time.monotonic() < deadline, kubectl("-n", NAMESPACE, "get", "pods")
        time.sleep(1)


def wait_until_fresh(demo: Demo, within_s: float = 90) -> None:
    """Until the platform knows again up to when everything has been evaluated."""
    where, deadline = demo.addresses(), time.monotonic() + within_s
    with httpx.Client(
        base_url=where.segments_url, headers={"Authorization": f"Bearer {where.api_token}"}, timeout=20, trust_env=False
    ) as api:
        while True:
            told = api.get("/v1/segments/big-spenders").json()["evaluated_at"]
            age_s = time.time() - datetime.fromisoformat(told).timestamp() if told else float("inf")
            if age_s < FRESH_S:
                return
            assert time.monotonic() < deadline, f"evaluated {age_s:.0f} s ago"
            time.sleep(1)


def kill(component: str, container: str) -> None:
    """Kill the container's first process from outside: KILL from inside does not reach it."""
    name = kubectl(
        "-n", NAMESPACE, "get", "pods", "-l", f"app.kubernetes.io/component={component}",
        "-o", "jsonpath={.items[0].metadata.name}",
    )  # fmt: skip
    before = restarts()[f"{name}/{container}"]
    hook = os.environ.get("AUDIENCE_TEST_KILL", "")
    if not hook:
        pytest.skip("AUDIENCE_TEST_KILL names no command that kills a container: NAMESPACE POD CONTAINER follow")
    subprocess.run([*hook.split(), NAMESPACE, name, container], check=True, timeout=60)  # noqa: S603
    deadline = time.monotonic() + 180
    while restarts().get(f"{name}/{container}", 0) == before:
        assert time.monotonic() < deadline, f"{name}/{container} was not restarted"
        time.sleep(0.5)
    wait_until_ready()


def in_container(pod: str, container: str, *command: str) -> str:
    return kubectl("-n", NAMESPACE, "exec", pod, "-c", container, "--", *command)


@contextmanager
def forwarded(target: str, port: int) -> Iterator[str]:
    """A port of a pod on this machine; whatever the network policies say."""
    program = shutil.which("kubectl") or ""
    forwarding = subprocess.Popen(  # noqa: S603
        [program, "-n", NAMESPACE, "port-forward", target, f":{port}"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert forwarding.stdout is not None
        found = re.search(r"127\.0\.0\.1:([0-9]+)", forwarding.stdout.readline())
        assert found is not None
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        forwarding.terminate()
        forwarding.communicate()


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a container since its start, in bytes: the most it took beside what the kernel can take back; kills."""

    highest: int
    limit: int
    killed: int


def memory(pod: str, container: str) -> Memory:
    """As the kernel tells it inside of the container, in either version of control groups."""
    script = (
        "cd /sys/fs/cgroup; if [ -f memory.peak ]; then cat memory.peak memory.max; grep '^oom_kill ' memory.events;"
        " else cd memory; cat memory.max_usage_in_bytes memory.limit_in_bytes; grep '^oom_kill ' memory.oom_control; fi"
    )
    highest, limit, _, killed = in_container(pod, container, "sh", "-c", script).split()
    return Memory(int(highest), int(limit), int(killed))


async def send_until(trial: Trial, first: int, harm: Callable[[], object]) -> int:
    """Send histories of more and more people until the harm is done, and one round after it; gives how many events."""
    doing = asyncio.create_task(asyncio.to_thread(harm))
    sent, last, number = 0, False, first
    while not last:
        last = doing.done()
        sent += await trial.send(PEOPLE, number, EVENTS_PER_S)
        number += PEOPLE
    await doing
    return sent


def trial_with(demo: Demo, number: int, harm: Callable[[], object]) -> None:
    """Events flow while harm is done; afterwards every membership is the oracle's."""
    trial, first = Trial(demo.addresses(), Rules.random(12, number * APART)), RUN + number * APART
    asyncio.run(trial.save_rules())
    try:
        began = time.monotonic()
        sent = asyncio.run(send_until(trial, first, harm))
        took_s = time.monotonic() - began
        asyncio.run(trial.settle())
        verdict = asyncio.run(trial.verdict())
        wait_until_fresh(demo)
    finally:
        asyncio.run(trial.remove_rules())
    print(f"{sent} events in {took_s:.0f} s; {verdict}")
    assert verdict.wrong == []
    assert verdict.compared > 100


def test_the_demo_comes_up_with_right_sizes_and_without_a_restart(demo: Demo) -> None:
    print(demo.said)
    assert demo.said.count("equal") >= 5
    assert "DIFFERENT" not in demo.said
    assert set(restarts().values()) == {0}


def test_no_container_was_short_of_memory(demo: Demo) -> None:
    for pod in pods():
        for container in (each["name"] for each in pod["spec"]["containers"]):
            found = memory(pod["metadata"]["name"], container)
            print(f"{pod['metadata']['name']}/{container}: {found.highest >> 20} MiB of {found.limit >> 20}")
            # A process of a container may be killed without a restart.
            assert found.killed == 0, (pod["metadata"]["name"], container)


def test_the_lake_has_what_the_job_has_seen(demo: Demo) -> None:
    """A preview reads what the archive wrote, from another pod; its size is that of the live segment."""
    where = demo.addresses()
    with httpx.Client(
        base_url=where.segments_url, headers={"Authorization": f"Bearer {where.api_token}"}, timeout=90, trust_env=False
    ) as api:
        segments = api.get("/v1/segments").json()["segments"]
        sample = [each for each in segments if each["status"] == "live" and each["key"] in SAMPLE]
        assert len(sample) == len(SAMPLE)
        for segment in sample:
            asked = {"rule": segment["rule"], "time_limit_ms": 60_000}
            answer = api.post("/v1/segments/preview", json=asked)
            assert answer.status_code == 200, answer.text
            size = api.get(f"/v1/segments/{segment['key']}/size").json()["size"]
            print(f"{segment['key']}: {answer.json()}, live {size}")
            assert answer.json()["exact"]
            assert answer.json()["size"] == size
        # Days are counted every minute.
        deadline = time.monotonic() + 90
        while not (days := api.get("/v1/analytics/events").json())["rows"]:
            assert time.monotonic() < deadline, days
            time.sleep(2)
        print(days)


def test_the_check_of_the_stores_finds_them_equal(demo: Demo) -> None:
    kubectl("-n", NAMESPACE, "create", "job", "--from=cronjob/verify", "verify-now")
    try:
        kubectl("-n", NAMESPACE, "wait", "--for=condition=complete", "job/verify-now", "--timeout=240s", within_s=260)
        found = json.loads(kubectl("-n", NAMESPACE, "logs", "job/verify-now"))
        print(found)
        assert found["sound"]
        assert found["profiles"] > 0
    finally:
        kubectl("-n", NAMESPACE, "delete", "job", "verify-now")


def test_prometheus_finds_every_process_and_takes_the_rules(demo: Demo) -> None:
    with forwarded("service/prometheus", 9090) as address:
        targets = httpx.get(f"{address}/api/v1/targets").json()["data"]["activeTargets"]
        assert {each["health"] for each in targets} == {"up"}, targets
        assert {each["labels"]["job"] for each in targets} == {"ingest-api", "segment-api", "worker", "flink"}
        groups = httpx.get(f"{address}/api/v1/rules").json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {each["health"] for each in rules} <= {"ok", "unknown"}, rules
        print(sorted(each["name"] for each in rules))
        firing = httpx.get(f"{address}/api/v1/alerts").json()["data"]["alerts"]
        assert [each for each in firing if each["state"] == "firing"] == []


def test_helm_test_passes(demo: Demo) -> None:
    assert "Succeeded" in helm("test", "audience-manager", "--namespace", NAMESPACE, "--timeout", "3m")


def test_the_black_box_tests_pass_through_node_ports(demo: Demo) -> None:
    where = demo.addresses()
    variables = {
        "AUDIENCE_TEST_INGEST_URL": where.ingest_url,
        "AUDIENCE_TEST_SEGMENTS_URL": where.segments_url,
        "AUDIENCE_TEST_KAFKA_BOOTSTRAP": where.kafka_bootstrap,
        "AUDIENCE_TEST_POSTGRES_DSN": where.postgres_dsn,
    }
    suites = (
        "segments/test_segment_api.py", "segments/test_profile_api.py", "segments/test_changes.py",
        "segments/test_client.py", "segments/test_freshness.py", "segments/test_tokens.py", "ingest", "projection",
        "docs",
    )  # fmt: skip
    paths = [f"tests/integration/{each}" for each in suites]
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pytest", *paths], cwd=ROOT, env={**os.environ, **variables},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1500, check=False,
    )  # fmt: skip
    print(done.stdout[-600:])
    assert done.returncode == 0, done.stdout


def test_no_secret_is_shown_by_helm_or_logged(demo: Demo) -> None:
    password = demo.addresses().postgres_dsn.split(":")[2].split("@")[0]
    assert password not in helm("get", "values", "audience-manager", "--namespace", NAMESPACE, "--all")
    for each in found("configmaps", NAMESPACE):
        assert password not in str(each["data"])
    for pod in pods():
        name = pod["metadata"]["name"]
        assert password not in kubectl("-n", NAMESPACE, "logs", name, "--all-containers")


@pytest.mark.parametrize("command", pages.of_namespace(NAMESPACE))
def test_a_command_of_the_pages(demo: Demo, command: str, tmp_path: Path) -> None:
    assert pages.run(command, pages.folder_for_commands(tmp_path))


def test_an_upgrade_and_a_rollback_lose_nothing(demo: Demo) -> None:
    def change() -> None:
        where = ("--namespace", NAMESPACE)
        helm("upgrade", "audience-manager", CHART, *where, *values_files(demo), "--set", "logLevel=DEBUG", "--wait")
        wait_until_ready()
        helm("rollback", "audience-manager", *where, "--wait")
        wait_until_ready()

    trial_with(demo, 1, change)


@pytest.mark.parametrize(("component", "container"), PARTS, ids=[container for _, container in PARTS])
def test_a_killed_part_comes_back_and_the_oracle_agrees(demo: Demo, component: str, container: str) -> None:
    number = 2 + [each for _, each in PARTS].index(container)
    trial_with(demo, number, lambda: kill(component, container))


def test_uninstall_leaves_nothing(demo: Demo) -> None:
    helm("uninstall", "audience-manager", "--namespace", NAMESPACE, "--wait")
    kinds = (
        "pods,services,deployments,statefulsets,jobs,cronjobs,configmaps,secrets,serviceaccounts,networkpolicies,pvc,"
        "roles,rolebindings"
    )
    left = [
        f"{each['kind']}/{each['metadata']['name']}"
        for each in found(kinds, NAMESPACE)
        if each["metadata"]["name"] not in ("kube-root-ca.crt", "default")
    ]
    assert left == []
    demo.run("down")
    assert NAMESPACE not in [each["metadata"]["name"] for each in found("namespaces", NAMESPACE)]
    volumes = found("persistentvolumes", NAMESPACE)
    assert [each for each in volumes if each["spec"].get("claimRef", {}).get("namespace") == NAMESPACE] == []
