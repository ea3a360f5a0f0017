"""Noise schedulers by name, one instance per picture: which timesteps, and how to take one.

diffusers' own classes do the arithmetic, in float32 on the host. Knows no network, no request.
https://huggingface.co/docs/diffusers/api/schedulers/overview
"""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bestiary.errors import InvalidRequest
from bestiary.schemas.image import Sampler

LOG = logging.getLogger(__name__)
PROBE_STEPS = 4
FLOW = "FlowMatch"  # how the classes of flow-matching models begin
# What belongs to a class and not to the model: another class would stumble over it.
OWN_KEYS = (
    "_class_name",
    "_diffusers_version",
    "algorithm_type",
    "solver_order",
    "solver_type",
    "variance_type",
)
VARIANCES = ("DDPMScheduler",)  # that `variance_type` is for


@dataclass(frozen=True, slots=True)
class _Kind:
    class_name: str
    options: Mapping[str, object] = field(default_factory=dict)
    takes_eta: bool = False
    flow: bool = False


KINDS: Mapping[Sampler, _Kind] = {
    Sampler.DDPM: _Kind("DDPMScheduler"),
    Sampler.DDIM: _Kind("DDIMScheduler", takes_eta=True),
    Sampler.DPM_SOLVER: _Kind("DPMSolverMultistepScheduler"),
    Sampler.DPM_SOLVER_KARRAS: _Kind("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    Sampler.DPM_SOLVER_SDE: _Kind(
        "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}
    ),
    Sampler.DPM_SOLVER_SINGLE: _Kind("DPMSolverSinglestepScheduler", {"lower_order_final": True}),
    Sampler.EULER: _Kind("EulerDiscreteScheduler"),
    Sampler.EULER_ANCESTRAL: _Kind("EulerAncestralDiscreteScheduler"),
    Sampler.HEUN: _Kind("HeunDiscreteScheduler"),
    Sampler.KDPM2: _Kind("KDPM2DiscreteScheduler"),
    Sampler.KDPM2_ANCESTRAL: _Kind("KDPM2AncestralDiscreteScheduler"),
    Sampler.LMS: _Kind("LMSDiscreteScheduler"),
    Sampler.PNDM: _Kind("PNDMScheduler", {"skip_prk_steps": True}),
    Sampler.UNIPC: _Kind("UniPCMultistepScheduler"),
    Sampler.DEIS: _Kind("DEISMultistepScheduler"),
    Sampler.SA_SOLVER: _Kind("SASolverScheduler"),
    Sampler.LCM: _Kind("LCMScheduler"),
    Sampler.TCD: _Kind("TCDScheduler", takes_eta=True),
    Sampler.FLOW_EULER: _Kind("FlowMatchEulerDiscreteScheduler", flow=True),
    Sampler.FLOW_HEUN: _Kind("FlowMatchHeunDiscreteScheduler", flow=True),
}


class Samplers:
    """Of one model, by its `scheduler_config.json`."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        flow = str(config.get("_class_name", "")).startswith(FLOW)
        self._config = {key: value for key, value in config.items() if key not in OWN_KEYS}
        self._variance = {key: config[key] for key in ("variance_type",) if key in config}
        fitting = [sampler for sampler, kind in KINDS.items() if kind.flow == flow]
        self.known = tuple(sampler for sampler in fitting if self._works(sampler))

    def open(
        self, sampler: Sampler, steps: int, *, strength: float = 1.0, eta: float = 0.0
    ) -> Steps:
        """The last `strength` of `steps` steps. Raises InvalidRequest, naming what there is."""
        if sampler not in self.known:
            raise InvalidRequest(
                f"this model cannot be sampled with {sampler}; it can with {', '.join(self.known)}",
                "sampler",
            )
        kind = KINDS[sampler]
        if eta and not kind.takes_eta:
            able = ", ".join(one for one in self.known if KINDS[one].takes_eta)
            raise InvalidRequest(f"eta is for {able}, not for {sampler}", "eta")
        try:
            return self._open(sampler, steps, strength, eta)
        except ValueError as error:  # some cannot take so few or so many
            raise InvalidRequest(
                f"{sampler} cannot take {steps} steps: {error}", "steps"
            ) from error

    def _open(self, sampler: Sampler, steps: int, strength: float, eta: float) -> Steps:
        kind = KINDS[sampler]
        own = self._variance if kind.class_name in VARIANCES else {}
        scheduler = _class(kind.class_name).from_config(self._config | own, **kind.options)
        scheduler.set_timesteps(steps)
        return Steps(scheduler, steps, strength, eta if kind.takes_eta else None)

    def _works(self, sampler: Sampler) -> bool:
        """Whether the class takes this model's kind of prediction, asked by trying."""
        try:
            steps = self._open(sampler, PROBE_STEPS, 1.0, 0.0)
            generator = torch.Generator("cpu").manual_seed(0)
            sample = steps.start(torch.ones(1, 1, 2, 2), None)
            for number in range(len(steps)):
                steps.scaled(sample, number)
                sample = steps.step(torch.zeros_like(sample), number, sample, generator)
        except Exception as error:  # noqa: BLE001 - each class refuses in its own way
            LOG.info("%s is not for this model: %s", sampler, error)
            return False
        return bool(torch.isfinite(sample).all())


class Steps:
    """The steps of one picture, each to be taken once and in order.

    A step is one evaluation of the network: schedulers of second order have two for each step
    that was asked for.
    """

    def __init__(self, scheduler: Any, steps: int, strength: float, eta: float | None) -> None:
        self._scheduler = scheduler
        order = int(getattr(scheduler, "order", 1))
        kept = min(max(int(steps * strength), 1), steps)
        begin = (steps - kept) * order
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin)
        self._timesteps: Tensor = scheduler.timesteps[begin:]
        self._whole = strength >= 1
        takes = inspect.signature(scheduler.step).parameters
        self._generates = "generator" in takes
        self._eta = {"eta": eta} if eta is not None and "eta" in takes else {}
        self._scales = hasattr(scheduler, "scale_model_input")

    def __len__(self) -> int:
        return len(self._timesteps)

    def timestep(self, number: int) -> float:
        """Of the training's; a fraction where the scheduler stops between two."""
        return float(self._timesteps[number])

    def start(self, noise: Tensor, original: Tensor | None) -> Tensor:
        """What the first step starts from: noise, or something given that is noised."""
        if original is None:
            return noise * float(getattr(self._scheduler, "init_noise_sigma", 1.0))
        return self.noised(original, noise, 0)

    def scaled(self, sample: Tensor, number: int) -> Tensor:
        """The sample as the network wants to see it."""
        if not self._scales:
            return sample
        found: Tensor = self._scheduler.scale_model_input(sample, self._timesteps[number])
        return found

    def step(
        self, prediction: Tensor, number: int, sample: Tensor, generator: torch.Generator
    ) -> Tensor:
        options: dict[str, object] = dict(self._eta)
        if self._generates:
            options["generator"] = generator
        found: Tensor = self._scheduler.step(
            prediction, self._timesteps[number], sample, return_dict=False, **options
        )[0]
        return found

    def noised(self, original: Tensor, noise: Tensor, number: int) -> Tensor:
        """As the sample is before step `number`; the original itself behind the last one."""
        if number >= len(self._timesteps):
            return original
        timestep = self._timesteps[number : number + 1]
        if hasattr(self._scheduler, "scale_noise"):  # of flow matching
            mixed: Tensor = self._scheduler.scale_noise(original, timestep, noise)
        else:
            mixed = self._scheduler.add_noise(original, noise, timestep)
        return mixed


def _class(name: str) -> Any:
    return getattr(importlib.import_module("diffusers"), name)
