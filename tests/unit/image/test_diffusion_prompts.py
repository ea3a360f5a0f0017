"""Prompts as the zoo's models were trained to read them: token states of a padded encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import BertModel

from deployments.image.diffusion.prompts import EncoderReader, PromptStates
from deployments.image.diffusion.weighted_prompt import weighted
from deployments.kernels.encoder import OpenEncoder
from deployments.kernels.encoder_session import OpenEncoderSession
from tests.unit.kernels.small_berts import opened, saved_bert

LENGTH = 12


class Letters:
    """A token a letter, between 1 and 2."""

    def __init__(self, text: str) -> None:
        self.ids = [1, *(ord(letter) % 90 + 5 for letter in text), 2]
        self.offsets = [(0, 0), *((place, place + 1) for place in range(len(text))), (0, 0)]


def no_look() -> OpenEncoderSession:
    raise AssertionError("nobody looks into it here")


def states_of(folder: Path) -> tuple[BertModel, PromptStates]:
    model = saved_bert(BertModel, folder)
    encoder = OpenEncoder(opened(folder, folder / "graph"), no_look)
    return model, PromptStates(EncoderReader(Letters, encoder, LENGTH))


def test_states_are_those_of_transformers_padding_included(tmp_path: Path) -> None:
    model, prompts = states_of(tmp_path)
    ids = Letters("fox").ids
    padded = torch.tensor([ids + [0] * (LENGTH - len(ids))])
    mask = torch.tensor([[1] * len(ids) + [0] * (LENGTH - len(ids))])
    with torch.no_grad():
        true = model(input_ids=padded, attention_mask=mask).last_hidden_state[0].numpy()
    own = prompts.of(weighted("fox", "prompt"))
    assert own.shape == true.shape
    assert np.abs(own - true).max() < 1e-4


def test_a_weight_moves_its_own_tokens_away_from_the_empty_prompt(tmp_path: Path) -> None:
    _, prompts = states_of(tmp_path)
    plain, empty = prompts.of(weighted("fox", "p")), prompts.of(weighted("", "p"))
    heavy = prompts.of(weighted("f(o:2)x", "p"))
    assert np.array_equal(heavy[1], plain[1])
    assert np.allclose(heavy[2], empty[2] + 2 * (plain[2] - empty[2]))
