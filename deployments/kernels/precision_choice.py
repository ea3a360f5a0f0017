"""What `precision: auto` means on this machine: the fastest that loses next to nothing.

Measured in docs/decisions/0003-precisions.md and kept honest by every build's parity
certificate. Knows processors and providers, no model.
"""

from __future__ import annotations

from deployments.kernels.providers import ProviderChoice
from deployments.kernels.sessions import multiplies_bytes_exactly

AUTO = "auto"


def chosen_precision(named: str, choice: ProviderChoice) -> str:
    """`named`, unless that is `auto`."""
    if named != AUTO:
        return named
    if not choice.is_host:
        return "fp16"
    return "w8a16" if multiplies_bytes_exactly() else "int8"
