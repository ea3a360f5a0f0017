"""How far back each layer sees: `sliding_window` and `layer_types` of a config.

Knows the keys of transformers' configs; not what a window does to attention.
"""

from __future__ import annotations

from collections.abc import Callable

from bestiary.errors import KernelError
from deployments.kernels.attention import ALL
from deployments.kernels.checkpoint import Config

FULL, SLIDING = "full_attention", "sliding_attention"
MISTRAL_WINDOW = 4096  # transformers' default where config.json does not say

Windows = tuple[int, ...]  # of each layer, in tokens, its own included; or ALL


def no_windows(config: Config) -> Windows:
    """Raises KernelError where the config wants one after all."""
    if config.flag("use_sliding_window", False) or SLIDING in _stated_types(config):
        raise KernelError(f"a sliding window in {config.architecture} is not supported")
    return (ALL,) * config.integer("num_hidden_layers")


def same_windows(config: Config) -> Windows:
    """One for all layers, which null switches off."""
    if _stated_types(config):
        raise KernelError(f"layer_types in {config.architecture} are not supported")
    layers = config.integer("num_hidden_layers")
    if config.is_null("sliding_window"):
        return (ALL,) * layers
    return (_window(config, MISTRAL_WINDOW),) * layers


def windows_by_layer(config: Config, slides: Callable[[int], bool]) -> Windows:
    """As `layer_types` says; `slides` where a config of transformers 4 has no such list."""
    layers = config.integer("num_hidden_layers")
    types = _stated_types(config) or tuple(
        SLIDING if slides(layer) else FULL for layer in range(layers)
    )
    if len(types) != layers:
        raise KernelError(f"{len(types)} layer_types for {layers} layers")
    if SLIDING not in types:
        return (ALL,) * layers
    window = _window(config)
    return tuple(window if kind == SLIDING else ALL for kind in types)


def _window(config: Config, default: int | None = None) -> int:
    window = config.integer("sliding_window", default)
    if window < 1:
        raise KernelError(f"a sliding window of {window} tokens is not supported")
    return window


def _stated_types(config: Config) -> tuple[str, ...]:
    types = config.texts("layer_types") or ()
    unknown = sorted(set(types) - {FULL, SLIDING})
    if unknown:
        raise KernelError(f"layers of {unknown[0]!r} are not supported; {FULL} and {SLIDING} are")
    return types
