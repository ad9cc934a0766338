"""Values of our own processes: services, which are called, and workers, which read topics."""

from typing import Annotated, Literal

from pydantic import Field

from local.chart.common import Autoscaling, Name, NodePort, Quantity, Replicas, Resources, Storage, Strings, Values

Dependency = Literal["kafka", "postgres", "profileStore", "lake", "ingest-api"]


class Spool(Values):
    """Where ingest-api keeps what it took while Kafka was away."""

    enabled: bool = False
    size_mib: int = Field(default=1024, ge=1)
    storage: Storage


class Ingress(Values):
    enabled: bool = False
    host: str = ""
    annotations: Strings = Field(default_factory=dict)


class Process(Values):
    """One of our programs: ``python -m MODULE``."""

    enabled: bool = True
    module: Annotated[str, Field(pattern=r"^services\.[a-z_]+$")]
    port: int = Field(ge=1024, le=65535)
    uses: list[Dependency] = Field(description="What it is allowed to reach, and is told the address of.")
    replicas: Replicas = 1
    resources: Resources
    autoscaling: Autoscaling = Autoscaling()
    postgres_connections: int = Field(default=4, ge=0, description="What one replica opens at most; counted, not set.")
    lag_metric: str = Field(default="", description="The gauge of records that are yet to be read.")
    kafka_groups: list[str] = Field(default_factory=list, description="Consumer groups, for Kafka's access control.")
    kafka_watches: list[str] = Field(
        default_factory=list,
        description="Topics and, with `group:` before them, groups whose ends and progress it asks for.",
    )
    kafka_reads: list[str] = Field(default_factory=list)
    kafka_writes: list[str] = Field(default_factory=list)
    env: Strings = Field(default_factory=dict, description="More variables; never a secret.")
    node_port: NodePort = 0
    ingress: Ingress = Ingress()
    spool: Spool | None = None
    temporary_size: Quantity = Field(default="64Mi", description="Of /tmp, the only place it may write to.")
    service_account_annotations: Strings = Field(default_factory=dict)
    priority: Literal["serving", "background"] = "serving"


class Workers(Values):
    together: bool = Field(default=False, description="All in one pod `worker`, each a container: for one small node.")
    list_: dict[Name, Process] = Field(alias="list")


class Prepare(Values):
    """The Job that brings schema, topics and, in a demo, credentials up to date."""

    resources: Resources
    wait_s: int = Field(default=600, ge=1, alias="waitSeconds", description="For PostgreSQL and Kafka to answer.")
    topic_partitions: int = Field(default=8, ge=1)
    topic_replicas: int = Field(default=1, ge=1)
    demo_credentials: bool = Field(default=False, description="The well-known ones; refused in production.")
    postgres_connections: int = 1
