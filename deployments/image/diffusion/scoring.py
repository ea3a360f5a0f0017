"""How well a picture fits its prompt: an embedder puts it where a sentence encoder puts words.

Cosine of the picture's vector and the prompt's. Knows neither requests nor files.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from deployments.image.diffusion.prompts import Tokenized
from deployments.image.pixels import Floats
from deployments.kernels import image_names as names
from deployments.kernels.encoder import OpenEncoder
from deployments.kernels.encoder_session import EncoderText
from deployments.kernels.image_session import Networks


class TextScorer:
    """`networks` has a part `scorer`. One thread calls it."""

    def __init__(
        self, networks: Networks, encoder: OpenEncoder, tokenizer: Callable[[str], Tokenized]
    ) -> None:
        self._networks = networks
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._side = int(networks.facts(names.SCORER)["side"])

    def scores(self, pictures: Floats, prompt: str) -> list[float]:
        seen = torch.nn.functional.interpolate(
            torch.from_numpy(pictures).clamp(-1, 1),
            size=(self._side, self._side),
            mode="area",  # means of squares, as the embedder was trained
        )
        vectors = self._networks.run(names.SCORER, {names.IMAGE: seen.numpy()})[0]
        text = EncoderText(self._tokenizer(prompt).ids)
        words = self._encoder.run([text], self._encoder.session.pooling)[0]
        found: list[float] = (vectors @ (words / np.linalg.norm(words))).tolist()
        return found
