"""What outlives a pod or is given to all: the claim at BESTIARY_HOME and the profile."""

from __future__ import annotations

from bestiary.deploy.manifest import Manifest, block_yaml, resource
from bestiary.deploy.options import DeployOptions
from bestiary.profile.models import Profile


def home_claim(options: DeployOptions) -> Manifest:
    """Weights and kernels are shared, so that each is downloaded and built once."""
    storage = options.storage
    spec: dict[str, object] = {
        "accessModes": [storage.access_mode],
        "resources": {"requests": {"storage": storage.size}},
    }
    if storage.storage_class is not None:
        spec["storageClassName"] = storage.storage_class
    return resource("v1", "PersistentVolumeClaim", options, suffix="-home", spec=spec)


def profile_config(profile: Profile, options: DeployOptions) -> Manifest:
    """The profile as it was rendered; pods need no copy of it in their image."""
    text = block_yaml(profile.model_dump(mode="json", exclude_defaults=True))
    return resource("v1", "ConfigMap", options, suffix="-profile", data={"profile.yaml": text})
