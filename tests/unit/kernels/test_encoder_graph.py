"""The encoder graph against transformers' BERT, on a small random model: what is pooled."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import BertForMaskedLM, BertModel

from bestiary.errors import KernelError
from deployments.kernels.encoder_build import build_encoder
from deployments.kernels.encoder_names import Output
from deployments.kernels.encoder_session import EncoderText
from tests.unit.kernels.small_berts import TEXTS, opened, saved_bert, torch_inputs

MEAN = Output.MEAN


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BertModel]:
    folder = tmp_path_factory.mktemp("bert")
    return folder, saved_bert(BertModel, folder)


def _reference(model: BertModel, text: EncoderText) -> NDArray[np.float32]:
    with torch.no_grad():
        mean = model(**torch_inputs(text)).last_hidden_state[0].mean(dim=0)
        vector: NDArray[np.float32] = torch.nn.functional.normalize(mean, dim=0).numpy()
    return vector


def _with_pooling(bert: tuple[Path, BertModel], folder: Path, **modes: bool) -> Path:
    shutil.copytree(bert[0], folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    return folder


def test_embeddings_equal_those_of_torch(bert: tuple[Path, BertModel], tmp_path: Path) -> None:
    folder, model = bert
    session = opened(folder, tmp_path)
    expected = [_reference(model, text) for text in TEXTS]
    np.testing.assert_allclose(session.run(TEXTS, MEAN), expected, atol=1e-5)


def test_a_batch_equals_its_texts_alone(bert: tuple[Path, BertModel], tmp_path: Path) -> None:
    session = opened(bert[0], tmp_path)
    alone = np.concatenate([session.run([text], MEAN) for text in TEXTS])
    np.testing.assert_allclose(session.run(TEXTS, MEAN), alone, atol=1e-5)


def test_int8_points_the_same_way(bert: tuple[Path, BertModel], tmp_path: Path) -> None:
    folder, model = bert
    vectors = opened(folder, tmp_path, "int8").run(TEXTS, MEAN)
    cosines = [
        vector @ _reference(model, text) for vector, text in zip(vectors, TEXTS, strict=True)
    ]
    assert min(cosines) > 0.999


def test_a_body_under_another_head_is_found(tmp_path: Path) -> None:
    headed = saved_bert(BertForMaskedLM, tmp_path / "headed")
    expected = [_reference(headed.bert, text) for text in TEXTS]
    vectors = opened(tmp_path / "headed", tmp_path).run(TEXTS, MEAN)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize("length", [0, 41])
def test_a_text_that_does_not_fit_is_refused(
    bert: tuple[Path, BertModel], tmp_path: Path, length: int
) -> None:
    with pytest.raises(ValueError, match=r"1\.\.40 tokens"):
        opened(bert[0], tmp_path).run([EncoderText([5] * length)], MEAN)


@pytest.mark.parametrize(
    ("mode", "pooling"),
    [("pooling_mode_cls_token", Output.CLS), ("pooling_mode_mean_tokens", Output.MEAN)],
)
def test_a_model_says_how_it_is_pooled(
    bert: tuple[Path, BertModel], tmp_path: Path, mode: str, pooling: Output
) -> None:
    folder = _with_pooling(bert, tmp_path / "model", pooling_mode_max_tokens=False, **{mode: True})
    assert opened(folder, tmp_path / "build").pooling is pooling


@pytest.mark.parametrize(
    "modes",
    [
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
    ],
)
def test_another_pooling_is_refused(
    bert: tuple[Path, BertModel], tmp_path: Path, modes: dict[str, bool]
) -> None:
    folder = _with_pooling(bert, tmp_path / "model", **modes)
    with pytest.raises(KernelError, match="another pooling"):
        build_encoder(folder, tmp_path, "fp32")


def test_a_module_on_top_of_the_model_is_refused(
    bert: tuple[Path, BertModel], tmp_path: Path
) -> None:
    folder = _with_pooling(bert, tmp_path / "model", pooling_mode_mean_tokens=True)
    modules = [{"type": "sentence_transformers.models.Dense"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(KernelError, match="has a Dense on top"):
        build_encoder(folder, tmp_path, "fp32")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("architectures", ["RobertaModel"], "known: BertModel"),
        ("hidden_act", "relu", "not GELU"),
        ("position_embedding_type", "relative_key", "relative position"),
    ],
)
def test_a_body_that_is_not_understood_is_refused(
    bert: tuple[Path, BertModel], tmp_path: Path, key: str, value: object, message: str
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(bert[0], folder)
    config = json.loads((folder / "config.json").read_text()) | {key: value}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(KernelError, match=message):
        build_encoder(folder, tmp_path, "fp32")
