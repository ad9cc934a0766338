"""The chart as a whole: it lints, refuses what cannot be meant, and keeps what Kubernetes and we ask of every pod."""

import re
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from audience.adapters.kafka.admin import TOPICS
from local.chart import schema
from local.settings import ROOT
from services._kit import demo
from tests.chart.rendering import CHART, KUBERNETES, containers, helm, one, overlay, pods, rendered, template, tool

OVERLAYS = ("demo", "production")
VERSIONS = ("1.31.0", "1.32.0", "1.33.0", "1.34.0", "1.35.0")


def test_the_schema_is_up_to_date() -> None:
    assert schema.FILE.read_text() == schema.text()


@pytest.mark.parametrize("name", OVERLAYS)
def test_helm_lint(name: str) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", str(overlay(name)))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("option", "path"),
    [
        ("kafka.brokrs=3", "/kafka"),
        ("services.ingest-api.resources.limits.memroy=1Gi", "/services/ingest-api/resources/limits"),
        ("flink.taskManager.slots=two", "/flink/taskManager/slots"),
        ("profileStore=redis", "/profileStore"),
        ("postgres.provider=rds", "/postgres/provider"),
        ("monitoring.prometheus.retention=forever", "/monitoring/prometheus/retention"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_its_path(option: str, path: str) -> None:
    done = template("demo", "--set", option)
    assert done.returncode != 0
    assert f"at '{path}'" in done.stderr


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("prepare.demoCredentials=true", "prepare.demoCredentials"),
        (f"services.ingest-api.env.AUDIENCE_X={demo.WRITE_KEY}", "everybody knows"),
        ("services.ingest-api.env.MY_PASSWORD=correct-horse", "does not belong among values"),
        ("postgres.provider=builtin", "postgres.provider"),
        ("kafka.provider=builtin", "kafka.provider"),
        ("tls.enabled=false", "tls.enabled"),
        ("network.policies=false", "network.policies"),
        ("flink.checkpoints=file:///tmp/x", "flink.checkpoints"),
        ("aerospike.credentialsSecret.name=", "aerospike.credentialsSecret.name"),
        ("lake.url=file:///lake", "lake.url"),
        ("lake.env.AWS_SECRET_ACCESS_KEY=x", "lake.credentialsSecret"),
    ],
)
def test_production_refuses(option: str, said: str) -> None:
    done = template("production", "--set", option)
    assert done.returncode != 0
    assert said in done.stderr


def test_an_older_kubernetes_is_refused() -> None:
    done = template("demo", "--kube-version", "1.30.0")
    assert done.returncode != 0
    assert "kubeVersion" in done.stderr


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_pod_is_restricted(name: str) -> None:
    for pod in pods(rendered(name)).values():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not any("hostPath" in volume for volume in spec.get("volumes", []))
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            for kind in ("requests", "limits"):
                assert set(container["resources"][kind]) == {"cpu", "memory", "ephemeral-storage"}
            assert re.search(r":[^:/]+$|@sha256:", container["image"]), container["image"]
            assert not container["image"].endswith(":latest")


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_container_that_stays_is_probed(name: str) -> None:
    for owner, pod in pods(rendered(name)).items():
        if owner.startswith("Job/"):
            continue
        for container in pod["spec"]["containers"]:
            assert {"readinessProbe", "livenessProbe"} <= set(container), owner
            assert container["readinessProbe"].get("periodSeconds", 10) <= 10


def test_ours_are_drained() -> None:
    for name in ("segment-api", "worker"):
        spec = pods(rendered("demo"))[f"Deployment/{name}"]["spec"]
        assert spec["terminationGracePeriodSeconds"] > 5 + 20
        for container in spec["containers"]:
            assert container["lifecycle"]["preStop"] == {"sleep": {"seconds": 5}}
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
            assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_secret_is_in_a_config_map_or_a_variable(name: str) -> None:
    secret_words = re.compile(r"(password|secret|token|private)\s*[=:]\s*\S", re.IGNORECASE)
    for each in rendered(name):
        if each["kind"] == "ConfigMap":
            for text in each["data"].values():
                assert not secret_words.search(text), each["metadata"]["name"]
                assert "postgresql://" not in text
    for owner, pod in pods(rendered(name)).items():
        for container in containers(pod):
            for variable in container.get("env", []):
                if re.search(r"PASSWORD|SECRET|TOKEN|URI$", variable["name"]):
                    assert "secretKeyRef" in variable["valueFrom"], (owner, variable["name"])


def test_the_database_password_stands_in_its_secret_alone() -> None:
    resources = rendered("demo")
    secret = one(resources, "Secret", "postgres")["data"]["password"]
    others = yaml.safe_dump([each for each in resources if each["kind"] != "Secret"])
    assert len(secret) > 32
    assert secret not in others
    assert one(rendered("demo", "--set", "logLevel=DEBUG"), "Secret", "postgres")["data"]["password"] != secret


def test_a_changed_setting_is_a_new_config_map_and_a_new_pod() -> None:
    before = pods(rendered("demo"))
    after = pods(rendered("demo", "--set", "kafka.retentionHours=48"))
    assert {name for name, pod in before.items() if pod != after[name]} == {"StatefulSet/kafka"}


@pytest.mark.parametrize("store", ["aerospike", "postgres"])
def test_the_profile_store_is_what_is_chosen(store: str) -> None:
    resources = rendered("demo", "--set", f"profileStore={store}")
    kinds = {(each["kind"], each["metadata"]["name"]) for each in resources}
    assert (("StatefulSet", "aerospike") in kinds) == (store == "aerospike")
    projection = next(
        each for each in pods(resources)["Deployment/worker"]["spec"]["containers"] if each["name"] == "projection"
    )
    assert any(each["name"] == "AEROSPIKE_HOSTS" for each in projection["env"]) == (store == "aerospike")


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_lake_is_where_its_writer_and_its_readers_look(name: str) -> None:
    found = pods(rendered(name))
    for owner, process in (("segment-api", "segment-api"), ("worker" if name == "demo" else "archive", "archive")):
        spec = found[f"Deployment/{owner}"]["spec"]
        container = next(each for each in spec["containers"] if each["name"] == process)
        url = next(each["value"] for each in container["env"] if each["name"] == "LAKE_URL")
        mounts = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "lake"]
        claims = [each["persistentVolumeClaim"] for each in spec["volumes"] if each["name"] == "lake"]
        if name == "demo":
            assert f"file://{mounts[0]}" == url
            assert claims == [{"claimName": one(rendered(name), "PersistentVolumeClaim", "lake")["metadata"]["name"]}]
        else:
            assert (url.partition("://")[0], mounts, claims) == ("s3", [], [])


def test_workers_together_have_each_its_own_folder_for_temporary_files() -> None:
    spec = pods(rendered("demo"))["Deployment/worker"]["spec"]
    sizes = {each["name"]: each["emptyDir"].get("sizeLimit") for each in spec["volumes"] if "emptyDir" in each}
    for container in spec["containers"]:
        [folder] = [each["name"] for each in container["volumeMounts"] if each["mountPath"] == "/tmp"]  # noqa: S108
        assert folder == f"tmp-{container['name']}"
        assert sizes[folder]


def test_rules_for_alerts_are_given_to_both_kinds_of_prometheus() -> None:
    wanted = yaml.safe_load((CHART / "files/alerts.yml").read_text())
    assert one(rendered("production"), "PrometheusRule", "audience-manager")["spec"] == wanted
    files = one(rendered("demo"), "ConfigMap", "prometheus-")["data"]
    assert yaml.safe_load(files["rules.yml"]) == wanted
    assert "/settings/rules.yml" in yaml.safe_load(files["prometheus.yml"])["rule_files"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_stores_are_verified_on_a_schedule(name: str) -> None:
    job = one(rendered(name), "CronJob", "verify")
    [container] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert [*container["command"], *container["args"]] == ["audience-ops", "stores", "verify", "--json"]
    variables = {each["name"] for each in container["env"]}
    assert {"AUDIENCE_POSTGRES_DSN", "AUDIENCE_KAFKA_BOOTSTRAP_SERVERS", "AEROSPIKE_HOSTS"} <= variables


EXTERNAL = [
    "--set", "kafka.provider=external", "--set", "kafka.external.bootstrapServers=b-1:9094\\,b-2:9094",
    "--set", "kafka.external.clientSecret.name=msk", "--set", "kafka.external.ports={9094}",
    "--set", "postgres.provider=external", "--set", "postgres.secret.name=rds",
    "--set", "postgres.external.parameters=?sslmode=require",
    "--set", "aerospike.provider=external", "--set", "aerospike.external.hosts=as-1:3000",
]  # fmt: skip


def test_external_stores_are_reached_by_address_and_secret() -> None:
    resources = rendered("production", *EXTERNAL)
    assert not {"Kafka", "KafkaUser", "Cluster", "AerospikeCluster"} & {each["kind"] for each in resources}
    env = {each["name"]: each for each in containers(pods(resources)["Deployment/segment-api"])[0]["env"]}
    assert env["AUDIENCE_KAFKA_BOOTSTRAP_SERVERS"]["value"].startswith("ssl://b-1:9094,b-2:9094?ca=")
    assert env["POSTGRES_URI"]["valueFrom"]["secretKeyRef"]["name"] == "rds"
    assert env["AUDIENCE_POSTGRES_DSN"]["value"] == "$(POSTGRES_URI)?sslmode=require"
    assert env["AEROSPIKE_HOSTS"]["value"] == "as-1:3000"


def test_kafka_users_may_do_what_their_programs_do() -> None:
    known = {topic.name for topic in TOPICS}
    used = set()
    for user in (each for each in rendered("production") if each["kind"] == "KafkaUser"):
        topics = {
            acl["resource"]["name"]
            for acl in user["spec"]["authorization"]["acls"]
            if acl["resource"]["type"] == "topic" and acl["resource"]["name"] != "*"
        }
        assert topics <= known, user["metadata"]["name"]
        used |= topics
    assert used == known


def test_an_upgrade_prepares_before_its_pods() -> None:
    job = one(rendered("demo"), "Job", "prepare-1")
    assert "annotations" not in job["metadata"]
    upgraded = one(rendered("demo", "--is-upgrade"), "Job", "prepare-1")
    assert upgraded["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"


@pytest.mark.parametrize(
    "options",
    [
        ["--set", "logging.enabled=true", "--set", "logging.elasticsearch.host=elastic"],
        ["--set", "kafka.mirror.enabled=true", "--set", "kafka.mirror.sourceBootstrapServers=far:9093",
         "--set", "kafka.mirror.sourceClusterCaSecret.name=far-ca", "--set", "kafka.mirror.sourceUserSecret.name=far"],
        ["--set", "externalSecrets.enabled=true", "--set", "externalSecrets.store=vault",
         "--set", "externalSecrets.secrets.aerospike-credentials.user=aerospike/user"],
        ["--set", "postgres.replicaOf=s3://other/postgres"],
    ],
    ids=["elasticsearch", "mirror", "external secrets", "replica cluster"],
)  # fmt: skip
def test_options_render(options: list[str]) -> None:
    assert len(rendered("production", *options)) >= len(rendered("production"))


@pytest.mark.parametrize("name", OVERLAYS)
def test_production_spreads_over_zones(name: str) -> None:
    for owner, pod in pods(rendered(name)).items():
        constraints = pod["spec"].get("topologySpreadConstraints", [])
        if name == "demo" or owner.startswith("Job/"):
            assert not constraints
        else:
            assert constraints[0]["whenUnsatisfiable"] == "DoNotSchedule"
            assert constraints[0]["matchLabelKeys"] == [
                "controller-revision-hash" if owner.startswith("StatefulSet/") else "pod-template-hash"
            ]


@pytest.mark.parametrize("name", OVERLAYS)
def test_kube_score_finds_nothing_critical(name: str, tmp_path: Path) -> None:
    manifests = tmp_path / "all.yaml"
    # Tests and Jobs end by themselves; kube-score asks them for probes and more.
    kept = [each for each in rendered(name) if each["kind"] != "Job"]
    manifests.write_text(yaml.safe_dump_all(kept))
    ignored = [
        "--ignore-test", "container-security-context-user-group-id",  # the pods say it, for all their containers
        "--ignore-test", "pod-networkpolicy",  # it does not understand our selectors; test_network does
        "--ignore-test", "container-image-pull-policy",  # images have fixed tags
        "--ignore-test", "pod-probes-identical",  # the same question, but it takes minutes of silence to be restarted
        "--ignore-test", "networkpolicy-targets-pod",  # operators make the pods of some
    ]  # fmt: skip
    version = "v" + KUBERNETES.rpartition(".")[0]
    done = subprocess.run(  # noqa: S603
        [tool("kube-score"), "score", "--kubernetes-version", version, "--output-format", "ci", *ignored, manifests],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    critical = [line for line in done.stdout.splitlines() if line.startswith("[CRITICAL]")]
    assert critical == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OVERLAYS)
def test_kubernetes_takes_it(name: str, version: str) -> None:
    """Custom resources are for tests/cluster, where their definitions are."""
    checked = 0
    for each in rendered(name):
        group = each["apiVersion"].rpartition("/")[0]
        if "." not in group or group.endswith(".k8s.io"):
            kubernetes_validate.validate(each, version.rpartition(".")[0], strict=True)
            checked += 1
    assert checked > 30
