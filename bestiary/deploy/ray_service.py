"""The RayService: one head, the worker groups, and the Serve applications that they run.

https://docs.ray.io/en/latest/cluster/kubernetes/getting-started/rayservice-quick-start.html
"""

from __future__ import annotations

from collections.abc import Sequence

from bestiary.deploy.manifest import Manifest, resource
from bestiary.deploy.options import DeployOptions, GcsFaultTolerance
from bestiary.deploy.pods import (
    OBJECT_STORE_BYTES,
    autoscaler_security,
    head_template,
    worker_template,
)
from bestiary.deploy.worker_groups import WorkerGroup

IDLE_S = 300  # a pod without replicas stays this long


def ray_service(
    groups: Sequence[WorkerGroup], serve_config: str, options: DeployOptions
) -> Manifest:
    """Updates of applications go into the running cluster, those of pods into a new one."""
    return resource(
        "ray.io/v1",
        "RayService",
        options,
        spec={
            "upgradeStrategy": {"type": "NewCluster"},
            "rayClusterDeletionDelaySeconds": 120,
            "excludeHeadPodFromServeSvc": True,
            "serveConfigV2": serve_config,
            "rayClusterConfig": _cluster(groups, options),
        },
    )


def is_autoscaled(groups: Sequence[WorkerGroup]) -> bool:
    """Whether Ray's autoscaler has anything to do."""
    return any(group.min_replicas != group.max_replicas for group in groups)


def _cluster(groups: Sequence[WorkerGroup], options: DeployOptions) -> Manifest:
    autoscaling = is_autoscaled(groups)
    cluster: dict[str, object] = {
        "rayVersion": options.ray_version,
        # KubeRay makes the token; only pods of this cluster can join it or ask it.
        "authOptions": {"mode": "token"},
        "enableInTreeAutoscaling": autoscaling,
    }
    if autoscaling:
        cluster["autoscalerOptions"] = _autoscaler()
    if options.gcs_fault_tolerance is not None:
        cluster["gcsFaultToleranceOptions"] = _fault_tolerance(options.gcs_fault_tolerance)
    cluster["headGroupSpec"] = {
        "rayStartParams": {**_start_parameters(0), "dashboard-host": "0.0.0.0"},  # noqa: S104
        "template": head_template(options, autoscaling=autoscaling),
    }
    cluster["workerGroupSpecs"] = [_worker_group(group, options) for group in groups]
    return cluster


def _worker_group(group: WorkerGroup, options: DeployOptions) -> Manifest:
    start = _start_parameters(group.cpus)
    if group.gpus:
        start["num-gpus"] = str(group.gpus)
    return {
        "groupName": group.name,
        "replicas": group.min_replicas,
        "minReplicas": group.min_replicas,
        "maxReplicas": group.max_replicas,
        "rayStartParams": start,
        "template": worker_template(group, options),
    }


def _start_parameters(cpus: int) -> dict[str, str]:
    return {"num-cpus": str(cpus), "object-store-memory": str(OBJECT_STORE_BYTES)}


def _autoscaler() -> Manifest:
    size = {"cpu": "500m", "memory": "1Gi"}
    return {
        "version": "v2",
        "upscalingMode": "Default",
        "idleTimeoutSeconds": IDLE_S,
        "resources": {"requests": dict(size), "limits": dict(size)},
        "securityContext": autoscaler_security(),
    }


def _fault_tolerance(given: GcsFaultTolerance) -> Manifest:
    found: dict[str, object] = {"redisAddress": given.redis_address}
    if given.password is not None:
        reference = {"name": given.password.name, "key": given.password.key}
        found["redisPassword"] = {"valueFrom": {"secretKeyRef": reference}}
    return found
