"""What a cluster's operator decides: names, images, storage, who may reach what.

Strict and frozen. What runs is the profile's business, not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator

from bestiary.errors import InvalidRequest
from bestiary.profile.faults import faults
from bestiary.profile.yaml_source import dotted
from bestiary.schemas.base import Frozen

# A RayService's name may have 47 characters; our longest suffix takes 17 of a label's 63.
Name = Annotated[str, Field(pattern=r"^[a-z](?:[a-z0-9-]{0,45}[a-z0-9])?$")]
Label = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")]
Image = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._/:-]*(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|@sha256:[0-9a-f]{64})$",
        description="with a tag or digest; both images need one Python and one Ray version",
    ),
]
Quantity = Annotated[str, Field(pattern=r"^[1-9][0-9]*(?:Ki|Mi|Gi|Ti)$")]
LabelSet = dict[str, str]


class SecretKey(Frozen):
    """Where a secret value lies; the value itself never reaches a manifest."""

    name: Label
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]{1,253}$")]


class Storage(Frozen):
    """The claim that is mounted at BESTIARY_HOME: weights, kernels, local state."""

    size: Quantity = "200Gi"
    storage_class: Label | None = None  # None: the cluster's default
    # Every pod mounts it; ReadWriteOnce only works where all pods share one node.
    access_mode: Literal["ReadWriteMany", "ReadWriteOnce"] = "ReadWriteMany"


class PodSize(Frozen):
    """What a pod gets; requests equal limits, so that nothing is throttled or evicted first."""

    cpus: Annotated[int, Field(ge=1, le=256)]
    memory_gib: Annotated[int, Field(ge=2, le=4096)]


class GcsFaultTolerance(Frozen):
    """Redis that keeps Ray's cluster state, so that a lost head does not stop the replicas."""

    redis_address: Annotated[str, Field(pattern=r"^(?:rediss?://)?[A-Za-z0-9.-]+:[0-9]{1,5}$")]
    password: SecretKey | None = None


class Network(Frozen):
    """Who may reach the pods, and what they may reach."""

    # Namespaces whose pods may call the gateway; empty: every source, and keys decide.
    client_namespaces: tuple[Label, ...] = ()
    monitoring_namespace: Label = "monitoring"
    dns_namespace: Label = "kube-system"
    # Not selectable by labels: on most clusters the API server is no pod.
    api_server: Annotated[tuple[str, ...], Field(min_length=1, description="CIDR blocks")] = (
        "0.0.0.0/0",
    )
    # PostgreSQL and Redis.
    state_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = (5432, 6379)
    weights_from_internet: Annotated[
        bool, Field(description="workers may fetch weights over HTTPS")
    ] = True

    @field_validator("api_server")
    @classmethod
    def _blocks(cls, blocks: tuple[str, ...]) -> tuple[str, ...]:
        for block in blocks:
            ip_network(block)  # a ValueError says what is wrong with it
        return blocks


class DeployOptions(Frozen):
    name: Name = "bestiary"
    namespace: Label = "bestiary"
    image: Image = "bestiary:0.1.0-cpu"
    gpu_image: Image = "bestiary:0.1.0-gpu"
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[Label, ...] = ()
    ray_version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")] = "2.60.0"
    database_url: SecretKey = SecretKey(name="bestiary-secrets", key="database-url")
    hub_token: SecretKey | None = None  # HF_TOKEN of the pods that pull weights
    storage: Storage = Storage()
    head: PodSize = PodSize(cpus=2, memory_gib=8)
    cpu_worker: PodSize = PodSize(cpus=4, memory_gib=20)  # grown where a replica needs more
    gpu_node_labels: LabelSet = {}
    runtime_class: Label | None = None  # such as nvidia
    gcs_fault_tolerance: GcsFaultTolerance | None = None
    network: Network = Network()
    # Needs the Prometheus operator's PodMonitor resource in the cluster.
    pod_monitor: bool = False


def parse_options(given: Mapping[str, object]) -> DeployOptions:
    """Raises InvalidRequest, whose `param` is the dotted option."""
    try:
        return DeployOptions.model_validate(dict(given))
    except ValidationError as error:
        found = faults(error, DeployOptions)
        message = "; ".join(fault.message for fault in found)
        raise InvalidRequest(f"deploy options: {message}", dotted(found[0].path)) from error
