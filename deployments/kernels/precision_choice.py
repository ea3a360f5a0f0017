"""What `precision: auto` means on this machine: the fastest that loses next to nothing.

Measured in docs/decisions/0003-precisions.md and kept honest by every build's parity
certificate. Knows processors and providers, no model.
"""

from __future__ import annotations

from deployments.kernels.openvino import machine_openvino_probe, why_no_bfloat16
from deployments.kernels.providers import ProviderChoice
from deployments.kernels.sessions import multiplies_bytes_exactly

AUTO = "auto"
PROMPTS_ONLY = "bf16mix"  # what graphs are kept in that only read prompts
EXACT = "fp32"  # whoever asks for it wants no other numbers in prompts either
CALIBRATED = frozenset({"w8a16", "w8row"})  # which round better where calibration is known
FLOAT, INT8 = "float", "int8"  # of keys and values


def chosen_precision(named: str, choice: ProviderChoice) -> str:
    """`named`, unless that is `auto`."""
    if named != AUTO:
        return named
    if not choice.is_host:
        return "fp16"
    return "w8a16" if multiplies_bytes_exactly() else "int8"


def chosen_prefill_precision(
    named: str | None, precision: str, choice: ProviderChoice
) -> str | None:
    """Of the graph that reads prompts, beside one that decodes in `precision`.

    None: the one that decodes reads them too.
    """
    if named != AUTO:
        return named
    here = choice.is_host and not why_no_bfloat16(machine_openvino_probe())
    return PROMPTS_ONLY if here and precision != EXACT else None


def keeps_kv_in_bytes(named: str, precision: str, choice: ProviderChoice) -> bool:
    """Whether keys and values of an engine that decodes in `precision` are int8.

    By itself only beside weights that calibration makes better: what is lost then is less than
    what those lost without (decisions/0006).
    """
    if named != AUTO:
        return named == INT8
    return (
        choice.is_host
        and chosen_precision(precision, choice) in CALIBRATED
        and multiplies_bytes_exactly()
    )
