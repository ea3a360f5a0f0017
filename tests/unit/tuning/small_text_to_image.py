"""Small text-to-image jobs: random models of both kinds of folder, and pictures in one style."""

from __future__ import annotations

import io
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from PIL import Image, ImageDraw
from transformers import BertConfig, BertModel

from bestiary.garden.card import Family, ModelCard, Source
from bestiary.garden.image_facts import DenoisingDefaults, ImageFacts
from bestiary.garden.installed import InstalledModel
from bestiary.schemas.image import ImageFamily, Sampler
from bestiary.schemas.tuning import Hyperparameters, JobSpec, Lora, Method, TrainingPlan
from services.tuning.data.examples import CaptionedImage
from services.tuning.trainers.image.opening import open_text_to_image
from services.tuning.trainers.image.tuner import TextToImageTuner
from services.tuning.trainers.tuner import Assignment
from tests.unit.image.small_pipelines import STATES, TOKENS, letters, vae
from training.loop import Plan, train

SIDE = 16
LORA = Lora(rank=4, alpha=8, dropout=0.0)


def pictures(count: int, *, size: int = SIDE) -> list[CaptionedImage]:
    """Green discs on blue, each under a letter."""
    return [_picture(place, size) for place in range(count)]


def assignment(
    model: InstalledModel,
    folder: Path,
    *,
    beside: InstalledModel | None = None,
    training: list[CaptionedImage] | None = None,
    **hyperparameters: object,
) -> Assignment:
    given = {"lora": LORA} | hyperparameters
    return Assignment(
        spec=JobSpec(
            base=model.card.id,
            method=Method.TEXT_TO_IMAGE,
            training_file="file-1",
            hyperparameters=Hyperparameters.model_validate(given),
            seed=3,
        ),
        plan=_plan(),
        model=model,
        teacher=None,
        training=pictures(6) if training is None else training,
        held_out=pictures(3),
        folder=folder,
        threads=1,
        beside={} if beside is None else {beside.card.id: beside},
    )


def trained(
    one: Assignment, steps: int, *, until: int | None = None, resume: bool = False
) -> TextToImageTuner:
    tuner = open_text_to_image(one)
    plan = Plan(
        steps=steps, learning_rate=0.02, warmup=1, seed=one.spec.seed, cooldown=0.0,
        weight_decay=0.0, checkpoint_every=2, measure_every=100, bfloat16=False,
    )  # fmt: skip
    train(tuner.trainee, plan, one.folder, resume=resume, until=until)
    return tuner


def read_by_an_encoder(folder: Path) -> tuple[InstalledModel, InstalledModel]:
    """A folder as the zoo's, and the encoder that its card names."""
    torch.manual_seed(4)
    encoder = _encoder(folder / "reader")
    base = folder / "base"
    unet = UNet2DConditionModel(
        sample_size=SIDE // 2,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=STATES,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    unet.half().save_pretrained(base / "unet")
    autoencoder: AutoencoderKL = vae()
    autoencoder.half().save_pretrained(base / "vae")
    DDIMScheduler(prediction_type="v_prediction").save_pretrained(base / "scheduler")
    index = {"_class_name": "TextToImagePipeline"} | {
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    (base / "model_index.json").write_text(json.dumps(index), "utf-8")
    (base / "conditioning.json").write_text(json.dumps({"max_tokens": TOKENS}), "utf-8")
    facts = ImageFacts(
        family=ImageFamily.DIFFUSION,
        width=SIDE,
        height=SIDE,
        text_encoder=encoder.card.id,
        denoising=DenoisingDefaults(steps=3, sampler=Sampler.DDIM, guidance_scale=2.0),
    )
    card = _card("small-emoji", Family.IMAGE, base, image=facts)
    return InstalledModel(card, base, "base"), encoder


def _encoder(folder: Path) -> InstalledModel:
    tokenizer = letters()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=STATES,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return InstalledModel(
        _card("small-reader", Family.ENCODER, folder, dimensions=STATES), folder, "reader"
    )


def _card(name: str, family: Family, folder: Path, **facts: object) -> ModelCard:
    return ModelCard(
        id=name,
        family=family,
        architecture="small",
        title=name,
        parameters=1000,
        context_length=TOKENS,
        license="MIT",
        provenance="random",
        sources=(Source(url=folder.as_uri()),),
        **facts,  # type: ignore[arg-type]
    )


def _picture(place: int, size: int) -> CaptionedImage:
    drawn = Image.new("RGB", (size, size), "blue")
    ImageDraw.Draw(drawn).ellipse((2, 2, size - 4 - place % 3, size - 4), "green")
    written = io.BytesIO()
    drawn.save(written, "PNG")
    return CaptionedImage(f"{place}.png", chr(97 + place), written.getvalue())


def _plan() -> TrainingPlan:
    return TrainingPlan(
        steps=10,
        epochs=4,
        batch_size=4,
        micro_batch_size=4,
        learning_rate=0.02,
        warmup_steps=1,
        max_tokens=TOKENS,
        evaluate_every=100,
        checkpoint_every=2,
        training_examples=6,
        held_out_examples=3,
        training_tokens=6,
        estimated_seconds=1.0,
    )
