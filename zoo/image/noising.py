"""How the zoo's diffusion models are noised: DDPM's linear betas, and velocities are guessed.

The last step leaves 0.6 % of a picture, little enough for every sampler to begin with noise alone,
and there is no sampler that they break.
"""

from __future__ import annotations

from collections.abc import Mapping

from training.noising import Noising

TRAINING_STEPS = 1000


def scheduler_config(*, pixels: bool) -> Mapping[str, object]:
    """For any scheduler of diffusers. Pixels are clipped to [-1, 1] on the way, latents not."""
    return {
        "num_train_timesteps": TRAINING_STEPS,
        "beta_schedule": "linear",
        "beta_start": 1e-4,
        "beta_end": 0.02,
        "prediction_type": "v_prediction",
        "timestep_spacing": "trailing",
        "clip_sample": pixels,
    }


def noising(*, pixels: bool) -> Noising:
    return Noising(scheduler_config(pixels=pixels))
