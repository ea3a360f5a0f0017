"""The encoder graph against transformers' BERT, on a small random model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import BertConfig, BertForMaskedLM, BertModel

from bestiary.errors import KernelError
from deployments.kernels.encoder_build import build_encoder
from deployments.kernels.encoder_session import EncoderSession
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import CPU_ONLY
from deployments.kernels.sessions import SessionSettings, open_session
from tests.unit.kernels.rows import tokens

CONFIG = BertConfig(
    vocab_size=160,
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=96,
    max_position_embeddings=40,
    initializer_range=0.2,
)
TEXTS = [tokens(length, seed=length) for length in (1, 40, 7, 23)]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BertModel]:
    torch.manual_seed(0)
    model = BertModel(CONFIG).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.5, 0.5)  # so that one left out would show
    folder = tmp_path_factory.mktemp("bert")
    model.save_pretrained(folder)
    return folder, model


def _open(folder: Path, target: Path, precision: str = "fp32") -> EncoderSession:
    build_encoder(folder, target, precision)
    return EncoderSession(open_session(target / GRAPH_FILE, CPU_ONLY, SessionSettings(threads=2)))


def _reference(model: BertModel, text: list[int]) -> NDArray[np.float32]:
    with torch.no_grad():
        mean = model(torch.tensor([text])).last_hidden_state[0].mean(dim=0)
        vector: NDArray[np.float32] = torch.nn.functional.normalize(mean, dim=0).numpy()
    return vector


def test_embeddings_equal_those_of_torch(bert: tuple[Path, BertModel], tmp_path: Path) -> None:
    folder, model = bert
    session = _open(folder, tmp_path)
    expected = [_reference(model, text) for text in TEXTS]
    np.testing.assert_allclose(session.run(TEXTS), expected, atol=1e-5)


def test_a_batch_equals_its_texts_alone(bert: tuple[Path, BertModel], tmp_path: Path) -> None:
    session = _open(bert[0], tmp_path)
    alone = np.concatenate([session.run([text]) for text in TEXTS])
    np.testing.assert_allclose(session.run(TEXTS), alone, atol=1e-5)


def test_int8_points_the_same_way(bert: tuple[Path, BertModel], tmp_path: Path) -> None:
    folder, model = bert
    vectors = _open(folder, tmp_path, "int8").run(TEXTS)
    cosines = [
        vector @ _reference(model, text) for vector, text in zip(vectors, TEXTS, strict=True)
    ]
    assert min(cosines) > 0.999


def test_a_body_under_another_head_is_found(bert: tuple[Path, BertModel], tmp_path: Path) -> None:
    headed = BertForMaskedLM(CONFIG).eval()
    headed.bert.load_state_dict(bert[1].state_dict(), strict=False)
    headed.save_pretrained(tmp_path / "headed")
    expected = [_reference(headed.bert, text) for text in TEXTS]
    vectors = _open(tmp_path / "headed", tmp_path).run(TEXTS)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize("length", [0, 41])
def test_a_text_that_does_not_fit_is_refused(
    bert: tuple[Path, BertModel], tmp_path: Path, length: int
) -> None:
    with pytest.raises(ValueError, match=r"1\.\.40 tokens"):
        _open(bert[0], tmp_path).run([[5] * length])


def test_another_pooling_is_refused(bert: tuple[Path, BertModel], tmp_path: Path) -> None:
    folder = tmp_path / "cls"
    shutil.copytree(bert[0], folder)
    (folder / "1_Pooling").mkdir()
    pooling = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    with pytest.raises(KernelError, match="another pooling"):
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
