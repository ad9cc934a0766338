"""All values of the chart, as one type. `python -m local.chart.schema` writes values.schema.json from it."""

from typing import Annotated, Any, Literal

from pydantic import Field

from local.chart.common import (
    ClaimedStorage,
    Cron,
    Image,
    Name,
    Quantity,
    Resources,
    SecretKey,
    Storage,
    Strings,
    Values,
)
from local.chart.processes import Prepare, Process, Workers
from local.chart.stores import Aerospike, Flink, Kafka, Postgres


class Images(Values):
    registry: str = Field(default="", description="In front of every repository, as registry.example.com/mirror.")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    pull_secrets: list[Name] = Field(default_factory=list)
    services: Image
    flink: Image
    kafka: Image
    postgres: Image
    aerospike: Image
    prometheus: Image
    fluent_bit: Image


class Availability(Values):
    spread: Literal["none", "zones"] = Field(
        default="none", description="zones: as even as can be over zones, never one node."
    )
    disruption_budgets: bool = False
    priority_classes: bool = False


class NetworkSources(Values):
    """Namespaces, by their names, from which something outside of the chart comes."""

    ingress: list[Name] = Field(default_factory=list)
    monitoring: list[Name] = Field(default_factory=list)
    operators: list[Name] = Field(default_factory=list)


class Network(Values):
    policies: bool = False
    sources: NetworkSources = NetworkSources()
    object_storage_cidrs: list[str] = Field(default_factory=lambda: ["0.0.0.0/0"], description="Where S3 is.")
    node_cidrs: list[str] = Field(
        default_factory=list, description="From where NodePorts are called; empty: from everywhere."
    )


class Tls(Values):
    enabled: bool = False
    issuer: Name = Field(
        default="", description="An Issuer of cert-manager's; empty: the chart makes one that signs itself."
    )
    issuer_kind: Literal["Issuer", "ClusterIssuer"] = "Issuer"
    ingress_issuer: Name = Field(default="", description="A ClusterIssuer for the public names.")


class IngressValues(Values):
    class_name: Name = ""
    annotations: Strings = Field(default_factory=dict)


class Prometheus(Values):
    enabled: bool = Field(default=False, description="A small one of the chart's own.")
    resources: Resources
    retention: Annotated[str, Field(pattern=r"^[0-9]+[hd]$")] = "6h"
    storage: Storage


class Monitoring(Values):
    prometheus: Prometheus
    service_monitors: bool = False
    rules: bool = False
    labels: Strings = Field(
        default_factory=dict, description="By which the Prometheus Operator chooses monitors and rules."
    )


class Elasticsearch(Values):
    host: str = ""
    port: int = 9200
    index: str = "audience-manager"
    credentials_secret: Name = Field(default="", description="With user and password.")
    cidrs: list[str] = Field(default_factory=lambda: ["0.0.0.0/0"])


class Logging(Values):
    """Logs to Elasticsearch by Fluent Bit, from every node."""

    enabled: bool = False
    resources: Resources
    elasticsearch: Elasticsearch


class ExternalSecretStore(Values):
    """Secrets from a vault, by the External Secrets Operator."""

    enabled: bool = False
    store: Name = ""
    store_kind: Literal["SecretStore", "ClusterSecretStore"] = "ClusterSecretStore"
    refresh_interval: str = "1h"
    secrets: dict[Name, dict[str, str]] = Field(
        default_factory=dict, description="By Secret: from each of its keys to the vault's."
    )


class Lake(Values):
    """Where archived events lie: s3:// or, on one node, a folder of a claim of the release's."""

    url: Annotated[str, Field(pattern=r"^(s3|file)://\S+$")]
    storage: ClaimedStorage = Field(description="The claim of a file:// lake.")
    credentials_secret: SecretKey = Field(
        default=SecretKey(), description="With ACCESS_KEY_ID and ACCESS_SECRET_KEY; empty: the pods' own role."
    )
    env: Strings = Field(default_factory=dict, description="AWS_REGION, AWS_ENDPOINT_URL and such; never a secret.")


class Verify(Values):
    """A CronJob that compares the stores with the topic that they are made from: `audience-ops stores verify`."""

    enabled: bool = False
    schedule: Cron = "30 4 * * *"
    resources: Resources
    postgres_connections: int = Field(default=2, ge=1, description="What it opens at most; counted, not set.")


class Tests(Values):
    enabled: bool = True
    resources: Resources


class ChartValues(Values):
    """What the chart can be told. A key that is not here is refused."""

    environment: Literal["demo", "production"] = "demo"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    cluster_domain: str = "cluster.local"
    image: Images
    profile_store: Literal["aerospike", "postgres"]
    services: dict[Name, Process]
    workers: Workers
    prepare: Prepare
    kafka: Kafka
    postgres: Postgres
    aerospike: Aerospike
    flink: Flink
    lake: Lake
    verify: Verify
    availability: Availability = Availability()
    network: Network = Network()
    ingress: IngressValues = IngressValues()
    tls: Tls = Tls()
    external_secrets: ExternalSecretStore = ExternalSecretStore()
    monitoring: Monitoring
    logging: Logging
    tests: Tests
    global_: dict[str, Any] = Field(
        default_factory=dict, alias="global", description="Helm's own, for charts that contain this one."
    )


__all__ = ["ChartValues", "Quantity"]
