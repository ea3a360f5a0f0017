"""A job -> a tuner on the base's weights, its pictures encoded and its captions read."""

from __future__ import annotations

import torch

from bestiary.errors import UnsupportedParameter
from bestiary.schemas.tuning import Method
from services.tuning.trainers.image.base_pipeline import base_pipeline
from services.tuning.trainers.image.examples import Batches, learned
from services.tuning.trainers.image.latents import LatentCache
from services.tuning.trainers.image.low_rank import with_adapter
from services.tuning.trainers.image.prompts import prompt_reader
from services.tuning.trainers.image.trainee import LoraTrainee
from services.tuning.trainers.image.tuner import TextToImageTuner
from services.tuning.trainers.tuner import Assignment, OpenTuner
from training.noising import Noising

LATENTS = "latents"


def open_text_to_image(assignment: Assignment) -> TextToImageTuner:
    """Raises InvalidRequest, ImageUnreadable, UnsupportedParameter and CardNotInstalled."""
    spec, plan, model = assignment.spec, assignment.plan, assignment.model
    if spec.hyperparameters.full:
        raise UnsupportedParameter(
            "text-to-image models are tuned by an adapter; leave `full` out", "full"
        )
    torch.set_num_threads(assignment.threads)
    base = base_pipeline(model, assignment.device)
    reader = prompt_reader(model, assignment.beside, assignment.device)
    latents = LatentCache(base, model.revision, assignment.folder / LATENTS)
    training = learned(assignment.training, latents, reader)
    held_out = learned(assignment.held_out, latents, reader)
    trainee = LoraTrainee(
        with_adapter(base.unet, spec.hyperparameters.lora, spec.seed),
        Noising(base.scheduler),
        training,
        held_out,
        Batches(len(training), plan.micro_batch_size, spec.seed),
        seed=spec.seed,
        device=assignment.device,
    )
    return TextToImageTuner(trainee, base, model.path, held_out)


TUNERS: dict[Method, OpenTuner] = {Method.TEXT_TO_IMAGE: open_text_to_image}
