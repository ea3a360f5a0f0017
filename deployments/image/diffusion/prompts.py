"""Prompts -> the token states that a diffusion model was trained to follow.

Two readers: token states of any encoder card, padded to the model's length (the zoo's models), and
CLIP's (Stable Diffusion's). A weight moves a token's states away from those of the empty prompt, or
towards them. Knows no requests.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from deployments.image.diffusion.weighted_prompt import WeightedPrompt, weighted
from deployments.image.pixels import Floats
from deployments.kernels import image_names as names
from deployments.kernels.encoder import OpenEncoder
from deployments.kernels.encoder_names import Output
from deployments.kernels.encoder_session import EncoderText
from deployments.kernels.image_session import Networks

KEPT_PROMPTS = 256
EMPTY = WeightedPrompt("", ())


class Tokenized(Protocol):
    """`tokenizers.Encoding`, as far as it is used."""

    @property
    def ids(self) -> list[int]: ...

    @property
    def offsets(self) -> list[tuple[int, int]]: ...


class Reader(Protocol):
    """Texts of one length in tokens -> their states."""

    def tokenize(self, text: str) -> Tokenized:
        """Cut to the model's length; characters of the text as offsets."""
        ...

    def states(self, texts: Sequence[Tokenized]) -> Floats:
        """[texts, tokens, width]."""
        ...


class PromptStates:
    """A reader with weights and a memory. One thread calls it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._kept: OrderedDict[WeightedPrompt, Floats] = OrderedDict()

    def of(self, prompt: WeightedPrompt) -> Floats:
        """[tokens, width]."""
        found = self._kept.get(prompt)
        if found is None:
            found = self._kept[prompt] = self._read(prompt)
            if len(self._kept) > KEPT_PROMPTS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(prompt)
        return found

    def _read(self, prompt: WeightedPrompt) -> Floats:
        tokens = self._reader.tokenize(prompt.text)
        states: Floats = self._reader.states([tokens])[0]
        if prompt.is_plain:
            return states
        weights = np.ones((len(states), 1), np.float32)
        for place, (start, end) in enumerate(tokens.offsets[: len(states)]):
            if end > start:
                weights[place] = np.mean(prompt.weights[start:end])
        empty = self.of(EMPTY)
        weighed: Floats = empty + weights * (states - empty)
        return weighed


class EncoderReader:
    """States of an encoder's last layer, every prompt padded to `length` tokens."""

    def __init__(self, tokenizer: Callable[[str], Tokenized], encoder: OpenEncoder, length: int):
        self._tokenizer = tokenizer
        self._encoder = encoder
        self._length = length

    def tokenize(self, text: str) -> Tokenized:
        return self._tokenizer(text)

    def states(self, texts: Sequence[Tokenized]) -> Floats:
        read = [EncoderText(text.ids) for text in texts]
        return self._encoder.run(read, Output.HIDDEN, self._length)


class ClipReader:
    """Stable Diffusion's own text encoder, a part of the model."""

    def __init__(self, tokenizer: Callable[[str], Tokenized], networks: Networks) -> None:
        self._tokenizer = tokenizer
        self._networks = networks

    def tokenize(self, text: str) -> Tokenized:
        return self._tokenizer(text)

    def states(self, texts: Sequence[Tokenized]) -> Floats:
        ids = np.array([text.ids for text in texts], np.int64)
        return self._networks.run(names.TEXT_ENCODER, {names.IDS: ids})[0]


def encoder_tokenizer(folder: Path, length: int) -> Callable[[str], Tokenized]:
    """Of an encoder's card: special tokens around, cut, without padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(length)
    tokenizer.no_padding()
    encode: Callable[[str], Tokenized] = tokenizer.encode
    return encode


def clip_tokenizer(folder: Path, length: int) -> Callable[[str], Tokenized]:
    """Of a Stable Diffusion folder's `tokenizer/`: cut and padded to `length`."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def encode(text: str) -> Tokenized:
        found = tokenizer([text], padding="max_length", max_length=length, truncation=True)
        tokenized: Tokenized = found.encodings[0]
        return tokenized

    return encode


def read_prompt(text: str, param: str = "prompt") -> WeightedPrompt:
    """Raises InvalidRequest for a weight out of bounds."""
    return weighted(text, param)
