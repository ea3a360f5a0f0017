"""The image trainees on tiny data: resumed to the same weights, saved, and read again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel, UNet2DModel
from torch import nn
from transformers import ImageGPTForCausalImageModeling

from training.architectures.conditional_gan import ConditionalGan, GanConfig
from training.architectures.image_embedder import ImageEmbedder, ImageEmbedderConfig
from training.architectures.residual_upscaler import (
    ResidualUpscaler,
    UpscalerConfig,
    downsampled,
    upsampled,
)
from training.denoising import denoised, noise_of
from training.loop import Plan, Trainee, train
from training.noising import spread_times
from zoo.data.digits import Digits
from zoo.data.emoji import EmojiSet, Picture
from zoo.image import emoji_text_to_image
from zoo.image.digit_gan import GanTrainee
from zoo.image.digit_pixels import ANY, FIRST_CLASS, PixelTrainee, completed
from zoo.image.digit_reader import Judge, trained
from zoo.image.emoji_diffusion import DiffusionTrainee
from zoo.image.emoji_upscaling import SuperResolutionTrainee, UpscalerTrainee
from zoo.image.emoji_vae import (
    VaeTrainee,
    decoded,
    latents_of,
    normalise_latents,
    prior_of,
)
from zoo.image.noising import TRAINING_STEPS, noising, scheduler_config
from zoo.image.saving import save_component, save_scheduler, write_grid


def some_emoji(count: int) -> EmojiSet:
    pictures = tuple(
        Picture(f"1F{600 + at}", "twitter", None, f"thing {at}", ("one", "two"), "Objects", "tool")
        for at in range(count)
    )
    draw = torch.Generator().manual_seed(count)
    coarse = torch.randint(0, 256, (count, 3, 8, 8), generator=draw).float()
    pixels = nn.functional.interpolate(coarse, scale_factor=8.0, mode="bilinear")
    return EmojiSet(pictures, pixels.to(torch.uint8))


def some_digits(count: int) -> Digits:
    draw = torch.Generator().manual_seed(count)
    labels = torch.arange(count) % 10
    levels = torch.randint(0, 3, (count, 64), generator=draw)
    levels[torch.arange(count), labels] = 16  # a digit's mark is where its bright pixel is
    return Digits(levels, labels)


def tiny_unet() -> UNet2DModel:
    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        add_attention=False,
    )


MAKERS: dict[str, Callable[[], Trainee]] = {
    "vae": lambda: VaeTrainee(some_emoji(12), some_emoji(3), 1),
    "diffusion": lambda: DiffusionTrainee(some_emoji(12), some_emoji(3), 1, tiny_unet()),
    "upscaler": lambda: UpscalerTrainee(some_emoji(12), some_emoji(3), 1),
    "super-resolution": lambda: SuperResolutionTrainee(some_emoji(12), some_emoji(3), 1),
    "digit pixels": lambda: PixelTrainee(some_digits(40), some_digits(10), 1),
    "digit gan": lambda: GanTrainee(
        some_digits(80), some_digits(60), Judge(trained(some_digits(80), steps=2)), 1
    ),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_stopped_and_resumed_run_ends_in_the_same_weights(tmp_path: Path, kind: str) -> None:
    plan = Plan(steps=4, learning_rate=1e-3, warmup=1, seed=3, checkpoint_every=2, average=0.9)
    whole, first, second = (MAKERS[kind]() for _ in range(3))
    train(whole, plan, tmp_path / "whole", resume=False)
    train(first, plan, tmp_path / "parts", resume=False, until=3)
    again = train(second, plan, tmp_path / "parts", resume=True)
    assert again.step == 4
    resumed = second.model.state_dict()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed[name]), name


def test_what_is_kept_is_the_average_and_not_the_last_weights(tmp_path: Path) -> None:
    plan = Plan(steps=6, learning_rate=1e-2, warmup=1, seed=3)
    last, averaged = MAKERS["upscaler"](), MAKERS["upscaler"]()
    train(last, plan, tmp_path / "last", resume=False)
    train(
        averaged,
        Plan(steps=6, learning_rate=1e-2, warmup=1, seed=3, average=0.5),
        tmp_path / "averaged",
        resume=False,
    )
    name = "first.weight"
    assert not torch.equal(last.model.state_dict()[name], averaged.model.state_dict()[name])


def test_vae_reads_back_as_diffusers_reads_it(tmp_path: Path) -> None:
    model = MAKERS["vae"]().model
    assert isinstance(model, AutoencoderKL)
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    save_component(model, tmp_path)
    again = AutoencoderKL.from_pretrained(tmp_path, torch_dtype=torch.float32)
    latents = latents_of(again, pictures)
    assert latents.shape == (2, 4, 16, 16)
    difference = decoded(again, latents) - decoded(model, latents_of(model, pictures))
    assert difference.abs().max() < 2e-2  # fp16 weights
    assert "_name_or_path" not in (tmp_path / "config.json").read_text()


def test_latents_are_normalised_without_changing_what_is_decoded() -> None:
    model = MAKERS["vae"]().model
    assert isinstance(model, AutoencoderKL)
    pictures = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        before = model.encode(pictures).latent_dist
        was = decoded(model, before.mean)
        normalise_latents(model, before.mean)
        after = model.encode(pictures).latent_dist
        channels = (before.mean.std((0, 2, 3)) / after.mean.std((0, 2, 3)))[None, :, None, None]
        assert torch.allclose(after.std * channels, before.std, rtol=1e-3)
    assert after.mean.mean((0, 2, 3)).abs().max() < 1e-4
    assert torch.allclose(after.mean.std((0, 2, 3)), torch.ones(4), atol=1e-3)
    assert torch.allclose(decoded(model, after.mean), was, atol=1e-4)


def test_prior_has_the_mean_and_the_spread_of_the_latents() -> None:
    draw = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 20, generator=draw)
    latents = torch.randn(4000, 6, generator=draw) @ mixing + 0.1 * torch.randn(
        4000, 20, generator=draw
    )
    samples = prior_of(latents + 3, components=6).sample(8000, seed=1)
    assert torch.allclose(samples.mean(0), latents.mean(0) + 3, atol=0.2)
    assert torch.allclose(samples.std(0), latents.std(0), rtol=0.1)
    ratio = torch.cov(samples.T).norm() / torch.cov(latents.T).norm()
    assert float(ratio) == pytest.approx(1.0, abs=0.1)


def test_unets_and_schedulers_read_back_as_diffusers_reads_them(tmp_path: Path) -> None:
    conditional = emoji_text_to_image.untrained(0, channels=(8, 16))
    for place, model in {"a": tiny_unet(), "b": conditional}.items():
        save_component(model, tmp_path / place)
    save_scheduler(scheduler_config(pixels=False), tmp_path / "scheduler")
    unet = UNet2DModel.from_pretrained(tmp_path / "a", torch_dtype=torch.float32)
    noised, times = torch.randn(2, 4, 16, 16), torch.tensor([10, 700])
    assert torch.allclose(unet(noised, times).sample, tiny_unet()(noised, times).sample, atol=2e-2)
    UNet2DConditionModel.from_pretrained(tmp_path / "b")
    scheduler = DDIMScheduler.from_pretrained(tmp_path / "scheduler")
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.config.timestep_spacing == "trailing"


def test_pixel_model_reads_back_and_its_chances_sum_to_one(tmp_path: Path) -> None:
    trainee = MAKERS["digit pixels"]()
    assert isinstance(trainee, PixelTrainee)
    trainee.model.eval()
    trainee.model.save_pretrained(tmp_path)
    again = ImageGPTForCausalImageModeling.from_pretrained(tmp_path)
    inputs = torch.tensor([[FIRST_CLASS + 3, 0, 16, 5], [ANY, 1, 2, 3]])
    with torch.no_grad():
        logits = again(input_ids=inputs).logits
        assert torch.allclose(logits, trainee.model(input_ids=inputs).logits, atol=1e-5)
    assert logits.shape[-1] == ANY  # the token for any class is never predicted


def test_bits_are_those_of_an_even_guess_at_first_and_less_when_trained(tmp_path: Path) -> None:
    trainee = PixelTrainee(some_digits(40), some_digits(40), 1)
    for one in trainee.model.lm_head.parameters():
        nn.init.zeros_(one)
    assert trainee.bits(trainee.held_out) == pytest.approx(4.087, abs=1e-3)  # log2 of 17
    plan = Plan(steps=30, learning_rate=3e-3, warmup=2, seed=1, bfloat16=False)
    train(trainee, plan, tmp_path, resume=False)
    assert trainee.bits(trainee.training) < 3.0


def test_completion_keeps_what_was_given_and_draws_pixels_only() -> None:
    trainee = PixelTrainee(some_digits(40), some_digits(10), 1)
    trainee.model.eval()
    upper = trainee.held_out.levels[:4, :32]
    made = completed(trainee.model, torch.full((4,), ANY), upper, seed=0)
    assert made.shape == (4, 64)
    assert torch.equal(made[:, :32], upper)
    assert int(made.max()) <= 16


GAN = GanConfig(
    image_size=8,
    channels=1,
    classes=("a", "b"),
    latent_size=4,
    base_size=2,
    widths=(16, 16, 8),
    score_scale=0.5,
    score_bias=0.25,
)


def test_gan_reads_back_with_both_networks_and_its_calibration(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ConditionalGan(GAN)
    model.save_pretrained(tmp_path, GAN)
    again = ConditionalGan.from_pretrained(tmp_path)
    assert again.config == GAN
    noise, labels = torch.randn(3, 4), torch.tensor([0, 1, 1])
    with torch.no_grad():
        pictures = model.generator(noise, labels)
        assert torch.equal(again.generator(noise, labels), pictures)
        scores = model.discriminator(pictures, labels)
        assert torch.equal(again.discriminator(pictures, labels), scores)
        alone = [model.discriminator(pictures[at : at + 1], labels[at : at + 1]) for at in range(3)]
    assert pictures.shape == (3, 1, 8, 8)
    assert torch.allclose(torch.cat(alone), scores, atol=1e-5)  # not of the batch


def test_sizes_that_do_not_double_are_refused() -> None:
    with pytest.raises(ValueError, match="double"):
        GanConfig(32, 3, ("a",), 8, 3, (8, 8))


def test_each_network_of_the_gan_learns_from_its_own_loss_alone() -> None:
    trainee = MAKERS["digit gan"]()
    assert isinstance(trainee, GanTrainee)
    labels = torch.zeros(2, dtype=torch.int64)
    fake = trainee.model.generator(torch.randn(2, 24), labels)
    trainee._making(fake, labels).backward()
    assert all(one.grad is None for one in trainee.model.discriminator.parameters())
    assert any(one.grad is not None for one in trainee.model.generator.parameters())
    trainee.model.zero_grad()
    real = trainee.held_out.pictures[:2].requires_grad_()
    trainee._judging(real, fake.detach(), labels).backward()
    assert all(one.grad is None for one in trainee.model.generator.parameters())


def test_embedder_and_upscaler_read_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    embedder = ImageEmbedder(ImageEmbedderConfig(widths=(8, 16), feature_size=8, embedding_size=12))
    embedder.save_pretrained(tmp_path / "embedder")
    pictures = torch.rand(2, 3, 32, 32)
    vectors = ImageEmbedder.from_pretrained(tmp_path / "embedder")(pictures)
    assert torch.allclose(vectors, embedder(pictures))
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(2))
    upscaler = ResidualUpscaler(UpscalerConfig(channels=8, blocks=2))
    nn.init.normal_(upscaler.last.weight, std=0.01)
    upscaler.save_pretrained(tmp_path / "upscaler")
    again = ResidualUpscaler.from_pretrained(tmp_path / "upscaler")
    assert torch.equal(again(pictures), upscaler(pictures))
    assert again(pictures).shape == (2, 3, 128, 128)


def test_untrained_upscaler_is_bicubic() -> None:
    low = downsampled(torch.rand(1, 3, 32, 32) * 2 - 1, 4)
    made = ResidualUpscaler(UpscalerConfig(channels=8, blocks=1))(low)
    assert torch.allclose(made, upsampled(low, 4).clamp(-1, 1), atol=1e-6)


def test_perfect_guess_has_no_loss_and_ddim_finds_its_picture() -> None:
    clean = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    signals = noising(pixels=True).scheduler.alphas_cumprod

    def guess(noised: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The velocity towards `clean`, whatever the noise was."""
        signal = signals[times].sqrt()[:, None, None, None]
        spread = (1 - signals[times]).sqrt()[:, None, None, None]
        noise = (noised - signal * clean) / spread
        return signal * noise - spread * clean

    draw = torch.Generator().manual_seed(1)
    assert float(noising(pixels=True).loss(clean, guess, draw)) < 1e-6
    noise = noise_of(4, (3, 8, 8), seed=2)
    made = denoised(guess, noise, scheduler_config(pixels=False), steps=8)
    assert torch.allclose(made, clean, atol=1e-3)


def test_times_of_a_batch_are_spread_over_all_of_them() -> None:
    times = spread_times(10, torch.Generator().manual_seed(0), TRAINING_STEPS).sort().values
    assert all(100 * at <= int(one) < 100 * (at + 1) for at, one in enumerate(times))


def test_grid_is_as_large_as_its_pictures(tmp_path: Path) -> None:
    from PIL import Image

    write_grid(torch.zeros(5, 1, 8, 8), 3, tmp_path / "grid.png", enlarged=2)
    with Image.open(tmp_path / "grid.png") as opened:
        assert opened.size == (3 * 18 + 2, 2 * 18 + 2)
        assert opened.getpixel((4, 4)) == (128, 128, 128)
