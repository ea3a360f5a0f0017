"""Pod templates of Ray's head and workers: image, environment, volumes, what they may do."""

from __future__ import annotations

from bestiary.deploy.manifest import HEAD, WORKER, Manifest, labels
from bestiary.deploy.options import DeployOptions, SecretKey
from bestiary.deploy.worker_groups import WorkerGroup

HOME = "/var/lib/bestiary"
PROFILE_DIRECTORY = "/etc/bestiary"
PROFILE_FILE = f"{PROFILE_DIRECTORY}/profile.yaml"
USER = 10001  # the image's user `bestiary`
OBJECT_STORE_BYTES = 1024**3  # requests go by gRPC; Ray would otherwise take 30% of the memory
SERVE_PORT = 8000
DRAIN_S = 120  # streams in flight may end

# Named as KubeRay's services and probes expect them.
_PORTS = {"metrics": 8080, "serve": SERVE_PORT}
_HEAD_PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, **_PORTS}


def head_template(options: DeployOptions, *, autoscaling: bool) -> Manifest:
    """The head runs no replicas; with autoscaling its sidecar talks to the API server."""
    container = _ray_container("ray-head", options.image, _HEAD_PORTS, options)
    size = _resources(options.head.cpus, options.head.memory_gib)
    return {
        "metadata": {"labels": labels(options, HEAD)},
        "spec": {
            **_pod_spec(options),
            "automountServiceAccountToken": autoscaling,
            "containers": [{**container, "resources": size}],
        },
    }


def worker_template(group: WorkerGroup, options: DeployOptions) -> Manifest:
    """Weights are pulled before Ray starts: a replica that starts finds them."""
    image = options.gpu_image if group.gpus else options.image
    container = _ray_container("ray-worker", image, _PORTS, options)
    size = _resources(group.cpus, group.memory_gib, group.gpus)
    return {
        "metadata": {"labels": labels(options, WORKER)},
        "spec": {
            **_pod_spec(options),
            **(_gpu_placement(options) if group.gpus else {}),
            "automountServiceAccountToken": False,
            "topologySpreadConstraints": [_spread(group)],
            "initContainers": [_pull_models(image, options)],
            "containers": [{**container, "resources": size}],
        },
    }


def autoscaler_security() -> Manifest:
    """For the sidecar that KubeRay adds to the head."""
    return _container_security()


def _pod_spec(options: DeployOptions) -> dict[str, object]:
    spec: dict[str, object] = {
        "serviceAccountName": options.name,
        "terminationGracePeriodSeconds": DRAIN_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [
            {"name": "home", "persistentVolumeClaim": {"claimName": f"{options.name}-home"}},
            {"name": "profile", "configMap": {"name": f"{options.name}-profile"}},
            {"name": "tmp", "emptyDir": {}},
            # KubeRay's own name: its autoscaler sidecar writes its log there too.
            {"name": "ray-logs", "emptyDir": {}},
        ],
    }
    if options.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    return spec


def _ray_container(
    name: str, image: str, ports: dict[str, int], options: DeployOptions
) -> Manifest:
    """No readiness probe: KubeRay's own one checks the Serve proxy, another would replace it."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": options.image_pull_policy,
        "ports": [{"name": port, "containerPort": number} for port, number in ports.items()],
        "env": _environment(options),
        "volumeMounts": _mounts(),
        "securityContext": _container_security(),
    }


def _pull_models(image: str, options: DeployOptions) -> Manifest:
    """Installs are idempotent and safe beside each other, so every pod may try."""
    return {
        "name": "pull-models",
        "image": image,
        "imagePullPolicy": options.image_pull_policy,
        "command": ["bestiary", "models", "pull", "--profile", PROFILE_FILE],
        "env": _environment(options),
        "volumeMounts": _mounts(),
        "securityContext": _container_security(),
        "resources": _resources(1, 4),
    }


def _environment(options: DeployOptions) -> list[Manifest]:
    plain = {
        "BESTIARY_HOME": HOME,
        "BESTIARY_PROFILE": PROFILE_FILE,
        # Must be set before Ray starts: its own processes read them.
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "HOME": "/tmp",  # noqa: S108  # an emptyDir; the root file system is read-only
        "XDG_CACHE_HOME": "/tmp/cache",  # noqa: S108
    }
    secret = {"BESTIARY_DATABASE_URL": options.database_url, "HF_TOKEN": options.hub_token}
    return [
        *({"name": name, "value": value} for name, value in plain.items()),
        *(_from_secret(name, key) for name, key in secret.items() if key is not None),
    ]


def _from_secret(name: str, key: SecretKey) -> Manifest:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": key.name, "key": key.key}}}


def _mounts() -> list[Manifest]:
    return [
        {"name": "home", "mountPath": HOME},
        {"name": "profile", "mountPath": PROFILE_DIRECTORY, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # the pod's own emptyDir
        {"name": "ray-logs", "mountPath": "/tmp/ray"},  # noqa: S108
    ]


def _container_security() -> Manifest:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _resources(cpus: int, memory_gib: int, gpus: int = 0) -> Manifest:
    size = {"cpu": str(cpus), "memory": f"{memory_gib}Gi"}
    if gpus:
        size["nvidia.com/gpu"] = str(gpus)
    return {"requests": dict(size), "limits": dict(size)}


def _gpu_placement(options: DeployOptions) -> dict[str, object]:
    placement: dict[str, object] = {
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    }
    if options.gpu_node_labels:
        placement["nodeSelector"] = dict(options.gpu_node_labels)
    if options.runtime_class is not None:
        placement["runtimeClassName"] = options.runtime_class
    return placement


def _spread(group: WorkerGroup) -> Manifest:
    """One lost node takes few pods of a group; where nodes are short, pods still start."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"ray.io/group": group.name}},
    }
