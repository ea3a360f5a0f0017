"""A profile as Kubernetes manifests: `render` is pure, nothing here talks to a cluster."""

from bestiary.deploy.options import DeployOptions, parse_options
from bestiary.deploy.render import render

__all__ = ["DeployOptions", "parse_options", "render"]
