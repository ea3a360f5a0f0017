"""Open encoders: padded batches of token ids in, one output at a time out. Knows no text.

Sessions are thread-safe here: nothing is kept between runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from deployments.kernels import encoder_names as names
from deployments.kernels.encoder_names import Output, attention_output

Floats = NDArray[np.float32]


class EncoderText(NamedTuple):
    """One text, or two between whose tokens a model tells by their segments."""

    ids: Sequence[int]
    segments: Sequence[int] = ()  # 0 or 1 for each token; none: all 0
    asked: int = 0  # the token whose word is asked, where words are


class EncoderSession:
    """Runs one batch at a time; which inputs share a batch is the engine's choice."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        facts = session.get_modelmeta().custom_metadata_map
        shapes = {one.name: one.shape for one in session.get_outputs()}
        self.max_length = int(facts[names.POSITIONS])
        self.pooling = Output(facts[names.POOLING])
        self.outputs = frozenset(map(Output, shapes))
        self.width: int = shapes[Output.HIDDEN][-1]
        self.class_labels: tuple[str, ...] = _labels(facts, names.CLASS_LABELS)
        self.token_labels: tuple[str, ...] = _labels(facts, names.TOKEN_LABELS)
        self.several_labels = facts.get(names.SEVERAL_LABELS) == "1"

    def run(self, texts: Sequence[EncoderText], output: Output, padded_to: int = 0) -> Floats:
        """float32 [texts, ...]; see `Output`. What is behind a text's tokens means nothing, but
        for whoever was trained on it: then `padded_to` says how many tokens all have (of id 0).

        Raises ValueError where a text is empty or longer than `max_length`, and KeyError
        where the model has no such output.
        """
        if output not in self.outputs:
            raise KeyError(output)
        feed = _feed(texts, self.max_length, padded_to)
        if Output.WORDS in self.outputs:
            feed[names.ROWS] = _rows(texts if output is Output.WORDS else ())
        found: Floats = self._session.run([output], feed)[0]
        return found


class OpenEncoderSession:
    """An encoder that tells what its heads looked at."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.max_length = int(session.get_modelmeta().custom_metadata_map[names.POSITIONS])
        self.layers = len(session.get_outputs()) - 1

    def attention(self, text: EncoderText) -> Floats:
        """float32 [layers, heads, S, S], rows summing to 1. Raises ValueError as `run` does."""
        wanted = [attention_output(layer) for layer in range(self.layers)]
        found = self._session.run(wanted, _feed([text], self.max_length))
        return np.concatenate(found)

    def hidden(self, texts: Sequence[EncoderText]) -> Floats:
        """float32 [texts, S, width]: the reference of the fused graph's."""
        found: Floats = self._session.run([Output.HIDDEN], _feed(texts, self.max_length))[0]
        return found


def _feed(
    texts: Sequence[EncoderText], longest: int, padded_to: int = 0
) -> dict[str, NDArray[np.generic]]:
    lengths = np.array([len(text.ids) for text in texts], dtype=np.int32)
    if lengths.min() < 1 or lengths.max() > longest:
        raise ValueError(f"texts must have 1..{longest} tokens, not {lengths.tolist()}")
    ids = np.zeros((len(texts), max(padded_to, lengths.max())), dtype=np.int32)
    segments = np.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text.ids)] = text.ids
        if text.segments:
            segments[row, : len(text.ids)] = text.segments
    return {names.IDS: ids, names.SEGMENTS: segments, names.LENGTHS: lengths}


def _rows(texts: Sequence[EncoderText]) -> NDArray[np.int64]:
    rows = [(row, text.asked) for row, text in enumerate(texts)]
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def _labels(facts: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(json.loads(facts.get(name, "[]")))
