"""Ray's own error classes. Importing `ray.serve` warns of its own use of pydantic."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ray import exceptions as ray_errors
    from ray.serve import exceptions as serve_errors
    from ray.serve._private.common import DeploymentID

__all__ = ["DeploymentID", "ray_errors", "serve_errors"]
