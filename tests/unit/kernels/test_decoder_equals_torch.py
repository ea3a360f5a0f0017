"""The fp32 graph computes what transformers computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.kernels.conftest import OpenSmall, SmallModel
from tests.unit.kernels.rows import feed, reference, tokens

MODELS = (
    "llama",
    "llama_with_biases",
    "qwen2",
    "qwen2_with_window",
    "qwen3",
    "mistral",
    "gemma3",
    "gpt2",
    "gpt2_without_prefix",
)
TOLERANCE = 2e-4  # of logits that reach about 30


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> SmallModel:
    found: SmallModel = request.getfixturevalue(request.param)
    return found


def test_prefill(model: SmallModel, open_small: OpenSmall) -> None:
    ids = tokens(40)
    logits = feed(open_small(model, "fp32"), 0, ids)
    np.testing.assert_allclose(logits, reference(model.torch_model, ids)[-1], atol=TOLERANCE)


@pytest.mark.parametrize("chunk", [1, 7, 39])
def test_prefill_in_chunks(model: SmallModel, open_small: OpenSmall, chunk: int) -> None:
    ids = tokens(40)
    logits = feed(open_small(model, "fp32"), 2, ids, chunk=chunk)
    np.testing.assert_allclose(logits, reference(model.torch_model, ids)[-1], atol=TOLERANCE)


def test_decoding_to_the_last_position(model: SmallModel, open_small: OpenSmall) -> None:
    decoder = open_small(model, "fp32")
    ids = tokens(decoder.max_length)
    feed(decoder, 5, ids[:-1])
    logits = feed(decoder, 5, ids[-1:], past=len(ids) - 1)
    np.testing.assert_allclose(logits, reference(model.torch_model, ids)[-1], atol=TOLERANCE)


def test_rows_of_different_lengths_decode_together(
    model: SmallModel, open_small: OpenSmall
) -> None:
    decoder = open_small(model, "fp32")
    rows = [tokens(length, seed=length) for length in (3, 30, 17, 64)]
    for row, ids in enumerate(rows):
        feed(decoder, row, ids[:-1])
    column = np.array([[ids[-1]] for ids in rows])
    logits = decoder.run(0, column, np.array([len(ids) - 1 for ids in rows], np.int32))
    expected = [reference(model.torch_model, ids)[-1] for ids in rows]
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_bfloat16_weights_are_read(
    request: pytest.FixtureRequest,
    open_small: OpenSmall,
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
) -> None:
    small: SmallModel = request.getfixturevalue(name)
    folder = tmp_path_factory.mktemp("bf16")
    rounded = type(small.torch_model)(small.torch_model.config)
    rounded.load_state_dict(small.torch_model.state_dict())
    rounded.bfloat16().save_pretrained(folder)
    model = type(small.torch_model).from_pretrained(folder, dtype=torch.float32)
    ids = tokens(40)
    logits = feed(open_small(SmallModel(folder, model), "fp32"), 0, ids)
    np.testing.assert_allclose(logits, reference(model, ids)[-1], atol=TOLERANCE)


def test_every_position_has_its_logits(llama: SmallModel, open_small: OpenSmall) -> None:
    decoder, ids = open_small(llama, "fp32"), tokens(12)
    feed(decoder, 1, ids[:5])
    found = decoder.run(1, np.array([ids[5:]]), np.array([5], np.int32), every=True)
    np.testing.assert_allclose(found, reference(llama.torch_model, ids)[5:], atol=1e-4)
