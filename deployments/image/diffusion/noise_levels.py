"""How much signal and how much noise there is at a timestep: x_t = signal x_0 + noise e.

Knows the training's levels; the steps of one picture are `samplers.py`'s. arXiv:2006.11239, and
for velocities arXiv:2202.00512.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import KernelError
from deployments.image.pixels import Floats

FLOW = "FlowMatch"


class NoiseLevels:
    """Of one model, by its `scheduler_config.json`. Raises KernelError for an unknown one."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        from diffusers import DDPMScheduler

        self._flow = str(config.get("_class_name", "")).startswith(FLOW)
        self.steps = int(config.get("num_train_timesteps", 1000))
        prediction = "flow" if self._flow else str(config.get("prediction_type", "epsilon"))
        if prediction not in DENOISED:
            raise KernelError(f"no prediction_type {prediction!r}; known: {', '.join(DENOISED)}")
        self._denoised = DENOISED[prediction]
        self._alphas: NDArray[np.float64] = np.zeros(0)
        if not self._flow:
            scheduler = DDPMScheduler.from_config(dict(config))
            self._alphas = scheduler.alphas_cumprod.double().numpy()

    def signal(self, timestep: float) -> float:
        """0..1."""
        if self._flow:
            return 1 - timestep / self.steps
        places = np.arange(len(self._alphas))
        return math.sqrt(float(np.interp(timestep, places, self._alphas)))

    def noise(self, timestep: float) -> float:
        """0..1."""
        if self._flow:
            return timestep / self.steps
        return math.sqrt(max(0.0, 1 - self.signal(timestep) ** 2))

    def snr(self, timestep: float) -> float:
        """signal^2 / noise^2; infinite without noise."""
        noise = self.noise(timestep)
        return math.inf if noise == 0 else (self.signal(timestep) / noise) ** 2

    def noised(self, original: Floats, noise: Floats, timestep: float) -> Floats:
        mixed: Floats = self.signal(timestep) * original
        mixed += self.noise(timestep) * noise
        return mixed.astype(np.float32, copy=False)

    def denoised(self, seen: Floats, prediction: Floats, timestep: float) -> Floats:
        """What the network, which saw `seen`, thinks that it will become."""
        signal, noise = self.signal(timestep), self.noise(timestep)
        return self._denoised(seen, prediction, signal, noise).astype(np.float32)


def _from_noise(seen: Floats, predicted: Floats, signal: float, noise: float) -> Floats:
    found: Floats = seen - noise * predicted
    found /= max(signal, 1e-4)
    return found


def _from_velocity(seen: Floats, predicted: Floats, signal: float, noise: float) -> Floats:
    return signal * seen - noise * predicted


def _itself(seen: Floats, predicted: Floats, signal: float, noise: float) -> Floats:
    return predicted


def _from_flow(seen: Floats, predicted: Floats, signal: float, noise: float) -> Floats:
    return seen - noise * predicted


DENOISED: Mapping[str, Callable[[Floats, Floats, float, float], Floats]] = {
    "epsilon": _from_noise,
    "v_prediction": _from_velocity,
    "sample": _itself,
    "flow": _from_flow,
}
