"""Builds of diffusion models are measured beside torch, and refused where they lose too much."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bestiary.errors import KernelError
from bestiary.garden.image_tolerance import ImageTolerance
from bestiary.garden.installed import InstalledModel
from bestiary.progress import Silent
from deployments.image.diffusion.certified_pictures import pipeline_parity
from deployments.kernels import image_names as names
from deployments.kernels.image_build import build_image_once
from deployments.kernels.image_certify import certify_image_once, read_image_certificate
from deployments.kernels.image_tolerated import require_tolerated
from deployments.kernels.image_torch import torch_parts
from tests.unit.image.conftest import Exported


@pytest.mark.parametrize(("batch", "side"), [(1, 16), (3, 24), (8, 8)])
def test_a_unet_takes_any_batch_and_size(text_to_image: Exported, batch: int, side: int) -> None:
    unet = next(one for one in torch_parts(text_to_image.model.path) if one.name == names.UNET)
    random = torch.Generator().manual_seed(batch)
    given = (
        torch.randn(batch, 4, side, side, generator=random),
        torch.linspace(0.5, 999, batch),
        torch.randn(batch, 5, 32, generator=random),
    )
    with torch.no_grad():
        true = unet.module(*given).numpy()
    own = text_to_image.parts.run(
        names.UNET, dict(zip(unet.inputs, (one.numpy() for one in given), strict=True))
    )
    assert np.abs(own[0] - true).max() < 1e-4


def test_a_certificate_says_how_far_parts_and_pictures_are(unconditional: Exported) -> None:
    model, home = unconditional.model, unconditional.home
    folder = build_image_once(model, "fp32", home, Silent())
    certify_image_once(model, "fp32", home, Silent(), pipeline_parity(model, folder, home))
    certificate = read_image_certificate(folder)
    assert certificate is not None
    assert certificate.parts[names.UNET].max_error < 1e-3
    assert certificate.pipeline is not None
    assert certificate.pipeline.psnr > 60
    assert certificate.speed[names.UNET].ours_ms["8"] > 0
    require_tolerated(model, "fp32", home)


def test_a_build_outside_its_tolerance_is_refused(unconditional: Exported) -> None:
    model, home = unconditional.model, unconditional.home
    build_image_once(model, "int8", home, Silent())
    certify_image_once(model, "int8", home, Silent())
    strict = ImageTolerance(max_error=1e-6, mean_error=1e-6, pipeline_psnr=99)
    card = model.card.model_copy(update={"image_tolerance": {"int8": strict}})
    with pytest.raises(KernelError, match="outside its tolerance"):
        require_tolerated(InstalledModel(card, model.path, model.revision), "int8", home)


def test_an_unknown_precision_is_refused(unconditional: Exported) -> None:
    with pytest.raises(KernelError, match="fp32, bf16mix, fp16, int8"):
        build_image_once(unconditional.model, "int2", unconditional.home, Silent())
