"""Captions -> the token states that a UNet reads, as a replica of the base computes them.

Either the folder has Stable Diffusion's own reader, or the base's card names an encoder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, CLIPTextModel

from bestiary.errors import CardNotInstalled
from bestiary.garden import InstalledModel
from training.token_states import TokenStates

CLIP, CLIP_TOKENIZER = "text_encoder", "tokenizer"
CONDITIONING = "conditioning.json"
AT_ONCE = 32


class PromptReader(Protocol):
    def states(self, texts: Sequence[str]) -> Tensor:
        """[N, tokens, width], all of one length."""
        ...


def prompt_reader(
    model: InstalledModel, beside: Mapping[str, InstalledModel], device: str
) -> PromptReader:
    """`beside` by card id. Raises CardNotInstalled where the encoder is not among them."""
    if (model.path / CLIP).is_dir():
        return ClipReader(model.path, device)
    named = model.card.image.text_encoder if model.card.image else None
    if named is None or named not in beside:
        raise CardNotInstalled(
            f"{model.card.id} reads prompts with {named or 'an encoder that its card must name'},"
            " which is not installed",
            named or "",
        )
    folder = beside[named].path
    encoder = AutoModel.from_pretrained(folder, dtype=torch.float32).to(device)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return TokenStates(tokenizer, encoder, _max_tokens(model))


class ClipReader:
    """Without a mask, as Stable Diffusion was trained: padding is read too."""

    def __init__(self, folder: Path, device: str) -> None:
        self._model = CLIPTextModel.from_pretrained(folder / CLIP, dtype=torch.float32)
        self._model.to(device).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(
            folder / CLIP_TOKENIZER, local_files_only=True
        )
        self._length = int(self._model.config.max_position_embeddings)

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
    def states(self, texts: Sequence[str]) -> Tensor:
        parts = [texts[start : start + AT_ONCE] for start in range(0, len(texts), AT_ONCE)]
        return torch.cat([self._read(part) for part in parts])

    def _read(self, texts: Sequence[str]) -> Tensor:
        found = self._tokenizer(
            list(texts),
            padding="max_length",
            max_length=self._length,
            truncation=True,
            return_tensors="pt",
        )
        ids = found.input_ids.to(self._model.device)
        states: Tensor = self._model(input_ids=ids).last_hidden_state
        return states


def _max_tokens(model: InstalledModel) -> int:
    path = model.path / CONDITIONING
    said = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return int(said.get("max_tokens", model.card.context_length))
