"""Profile + applications + options -> all manifests of the platform, as one YAML text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bestiary.deploy.availability import service_account, worker_budget
from bestiary.deploy.manifest import Manifest, as_yaml
from bestiary.deploy.monitoring import metrics_service, pod_monitor
from bestiary.deploy.network_policy import network_policies
from bestiary.deploy.options import DeployOptions
from bestiary.deploy.ray_service import is_autoscaled, ray_service
from bestiary.deploy.serve_config import serve_config
from bestiary.deploy.storage import home_claim, profile_config
from bestiary.deploy.worker_groups import worker_groups
from bestiary.errors import ProfileInvalid
from bestiary.profile.applications import ApplicationSpec
from bestiary.profile.models import Profile


def render(
    profile: Profile, applications: Sequence[ApplicationSpec], options: DeployOptions
) -> str:
    """Multi-document YAML for `kubectl apply --server-side -f -`.

    `applications` come from `bestiary.profile.applications.applications`. Raises
    ProfileInvalid where the profile cannot run on several nodes as it is.
    """
    return as_yaml(manifests(profile, applications, options))


def manifests(
    profile: Profile, applications: Sequence[ApplicationSpec], options: DeployOptions
) -> tuple[Manifest, ...]:
    """What `render` writes, in the order in which a cluster wants it."""
    _require_shared_counters(profile)
    running = [spec.name for spec in applications if spec.name in profile.deployments]
    groups = worker_groups(profile, running, options.cpu_worker)
    found = [
        service_account(options),
        profile_config(profile, options),
        home_claim(options),
        *network_policies(options, autoscaling=is_autoscaled(groups)),
        worker_budget(options),
        metrics_service(options),
        ray_service(groups, serve_config(applications), options),
    ]
    if options.pod_monitor:
        found.append(pod_monitor(options))
    return tuple(found)


def _require_shared_counters(profile: Profile) -> None:
    """Rate limits that each gateway counts alone would let a key through several times over."""
    gateway = profile.gateway
    if gateway.scaling.max_replicas > 1 and gateway.rate_limit_storage.startswith("memory:"):
        raise ProfileInvalid(
            f"gateway.scaling.max_replicas is {gateway.scaling.max_replicas} while "
            f"gateway.rate_limit_storage is {gateway.rate_limit_storage!r}: each replica would "
            "count alone; give redis://host:port"
        )
