"""Values of the backing systems. Each has a provider: the chart's own, an operator's resources, or somebody else's."""

from typing import Annotated, Literal

from pydantic import Field

from local.chart.common import NodePort, Quantity, Replicas, Resources, Schedule, SecretKey, Storage, Strings, Values

JvmMemory = Annotated[str, Field(pattern=r"^[0-9]+[mg]$")]
"""As Java and Flink write it."""

Provider = Literal["builtin", "operator", "external"]


class ExternalKafka(Values):
    bootstrap_servers: str = Field(default="", description="As AUDIENCE_KAFKA_BOOTSTRAP_SERVERS.")
    client_secret: SecretKey = Field(default=SecretKey(), description="With ca.crt, user.crt and user.key, for ssl://.")
    ports: list[int] = Field(default_factory=lambda: [9092])


class Mirror(Values):
    """A copy of the topics in another region's Kafka, by MirrorMaker 2."""

    enabled: bool = False
    source_bootstrap_servers: str = ""
    source_alias: str = "primary"
    source_cluster_ca_secret: SecretKey = SecretKey()
    source_user_secret: SecretKey = SecretKey()
    replicas: Replicas = 3
    resources: Resources


class Kafka(Values):
    provider: Provider = "builtin"
    version: str = "4.1.0"
    brokers: Replicas = 1
    heap: JvmMemory = "800m"
    resources: Resources
    partitions: int = Field(default=2, ge=1)
    replication_factor: int = Field(default=1, ge=1)
    retention_hours: int = Field(default=24, ge=1)
    storage: Storage
    node_port: NodePort = Field(default=0, description="For tests from outside of the cluster; builtin only.")
    node_address: str = Field(default="", description="What clients outside call the node; with nodePort.")
    controller_resources: Resources | None = None
    controller_storage: Storage | None = None
    external: ExternalKafka = ExternalKafka()
    mirror: Mirror


class ExternalPostgres(Values):
    hosts_cidr: str = Field(default="0.0.0.0/0", description="Where it is, for the network policies.")
    port: int = 5432
    parameters: str = Field(default="", description="Of the DSN, as ?sslmode=verify-full.")


class Backup(Schedule):
    enabled: bool = False
    destination_path: Annotated[str, Field(pattern=r"^(s3://\S+)?$")] = ""
    endpoint_url: str = ""
    credentials_secret: SecretKey = Field(
        default=SecretKey(), description="With ACCESS_KEY_ID and ACCESS_SECRET_KEY; empty: the pod's own role."
    )


class Postgres(Values):
    provider: Provider = "builtin"
    secret: SecretKey = Field(
        default=SecretKey(),
        description="With key `uri`: postgresql://user:password@host/db. Empty: the provider's own.",
    )
    instances: Replicas = 1
    resources: Resources
    storage: Storage
    settings: Strings
    node_port: NodePort = Field(default=0, description="For tests from outside of the cluster; builtin only.")
    backup: Backup
    replica_of: str = Field(
        default="", description="destinationPath of another region's backups: this cluster follows it until promoted."
    )
    external: ExternalPostgres = ExternalPostgres()


class AerospikeNamespace(Values):
    name: str
    replication_factor: int = Field(default=1, ge=1)
    indexes_memory_budget: Quantity
    storage: Literal["memory", "device"] = "memory"
    data_size: Quantity = "512Mi"
    file_size: Quantity = "100Gi"


class ExternalAerospike(Values):
    hosts: str = ""
    cidr: str = "0.0.0.0/0"
    port: int = 3000


class Aerospike(Values):
    provider: Provider = "builtin"
    nodes: Replicas = 1
    resources: Resources
    storage: Storage
    namespaces: list[AerospikeNamespace] = Field(max_length=2)
    credentials_secret: SecretKey = Field(
        default=SecretKey(), description="With user and password: Enterprise Edition."
    )
    admin_secret: SecretKey = Field(default=SecretKey(), description="With password, of the cluster's administrator.")
    feature_key_secret: SecretKey = Field(default=SecretKey(), description="With features.conf: Enterprise Edition.")
    external: ExternalAerospike = ExternalAerospike()


class JobManager(Values):
    replicas: Replicas = 1
    memory: JvmMemory = Field(description="The whole process; Flink's jobmanager.memory.process.size.")
    resources: Resources


class TaskManager(Values):
    replicas: Replicas = 1
    memory: JvmMemory = Field(description="The JVM's; Flink's taskmanager.memory.process.size. Python comes on top.")
    slots: int = Field(default=2, ge=1)
    resources: Resources


class Flink(Values):
    provider: Literal["builtin", "operator", "external"] = "builtin"
    job_manager: JobManager
    task_manager: TaskManager
    parallelism: int = Field(default=2, ge=1)
    state_backend: Literal["rocksdb", "hashmap"] = "rocksdb"
    checkpoints: Annotated[str, Field(pattern=r"^(file|s3)://\S+$")] = "file:///tmp/checkpoints"
    checkpoint_interval_ms: int = Field(default=1000, ge=100)
    savepoints: Annotated[str, Field(pattern=r"^((file|s3)://\S+)?$")] = ""
    savepoint_interval: str = Field(default="", description="As `24h`; operator only.")
    s3_endpoint: str = ""
    storage: Storage
    job_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] = Field(description="The job's, after every restart.")
    settings: Strings = Field(default_factory=dict, description="More of Flink's own settings.")
    env: Strings = Field(default_factory=dict, description="More of the job's, AUDIENCE_*.")
    service_account_annotations: Strings = Field(default_factory=dict)
