"""What values of several parts of the chart are made of."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


def _kebab(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


class Values(BaseModel):
    """Refuses a key that it does not know. Keys are in camelCase, as Kubernetes writes them."""

    model_config = ConfigDict(extra="forbid", alias_generator=_kebab, populate_by_name=True, frozen=True)


Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$", examples=["512Mi", "200m"])]
Name = Annotated[str, Field(pattern=r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$", max_length=253)]
Strings = dict[str, str]
NodePort = Annotated[int, Field(ge=0, le=32767, description="0: none.")]
Replicas = Annotated[int, Field(ge=1, le=100)]


class Amounts(Values):
    cpu: Quantity
    memory: Quantity
    ephemeral_storage: Quantity = Field(default="", alias="ephemeral-storage", description="Empty: by the chart.")


class Resources(Values):
    """What a container is given at least, and at most."""

    requests: Amounts
    limits: Amounts


class Image(Values):
    repository: Annotated[str, Field(min_length=1)]
    tag: str = Field(default="", description="Empty: the chart's appVersion.")
    digest: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")] = Field(
        default="", description="Wins over the tag where it is set."
    )


class Storage(Values):
    """Where a part keeps its files: a directory or memory of the node, gone with the pod, or a claim that stays."""

    type: Literal["emptyDir", "memory", "persistentVolumeClaim"] = "emptyDir"
    size: Quantity
    storage_class_name: Name = Field(default="", description="Empty: the cluster's default.")


class ClaimedStorage(Values):
    """A claim that stays as long as the release."""

    size: Quantity
    storage_class_name: Name = Field(default="", description="Empty: the cluster's default.")


class SecretKey(Values):
    """A Secret of the release's namespace, which the chart does not make."""

    name: Name = ""


class Autoscaling(Values):
    enabled: bool = False
    min_replicas: Replicas = 3
    max_replicas: Replicas = 20
    cpu_percent: int = Field(default=70, ge=10, le=95, description="Of the CPU that is requested.")
    lag_per_replica: int = Field(
        default=0,
        ge=0,
        description="Records that a replica may be behind; needs an adapter of custom metrics. 0: not used.",
    )


Cron = Annotated[str, Field(pattern=r"^\S+( \S+){4,5}$")]


class Schedule(Values):
    """In cron's notation."""

    schedule: Cron
    retention_days: int = Field(default=30, ge=1)
