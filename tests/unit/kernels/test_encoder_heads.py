"""Every class of BERT against transformers: same checkpoint, same numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertForMaskedLM,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)

from bestiary.errors import KernelError
from deployments.kernels.encoder_names import Output
from deployments.kernels.encoder_session import EncoderText
from tests.unit.kernels.small_berts import (
    PAIRS,
    TEXTS,
    opened,
    opened_wide,
    saved_bert,
    torch_inputs,
)

EXACT = {"atol": 1e-5, "rtol": 1e-5}
LOGITS = {"atol": 2e-5, "rtol": 1e-5}  # of sums of 64 products that are large themselves


def _asked(texts: list[EncoderText]) -> list[EncoderText]:
    """Each with the word of its middle token asked."""
    return [text._replace(asked=len(text.ids) // 2) for text in texts]


def test_hidden_states_and_every_pooling_equal_torch(tmp_path: Path) -> None:
    model = saved_bert(BertModel, tmp_path / "bert")
    session = opened(tmp_path / "bert", tmp_path / "build")
    texts = TEXTS + PAIRS
    found = {output: session.run(texts, output) for output in session.outputs}
    assert set(found) == {Output.HIDDEN, Output.MEAN, Output.CLS, Output.POOLER}
    for row, text in enumerate(texts):
        with torch.no_grad():
            given = model(**torch_inputs(text))
        hidden = given.last_hidden_state[0]
        np.testing.assert_allclose(found[Output.HIDDEN][row, : len(text.ids)], hidden, **EXACT)
        pooled = {
            Output.MEAN: hidden.mean(dim=0),
            Output.CLS: hidden[0],
            Output.POOLER: given.pooler_output[0],
        }
        for output, vector in pooled.items():
            unit = torch.nn.functional.normalize(vector, dim=0)
            np.testing.assert_allclose(found[output][row], unit, **EXACT)


def test_words_of_the_asked_tokens_equal_torch(tmp_path: Path) -> None:
    model = saved_bert(BertForMaskedLM, tmp_path / "bert")
    session = opened(tmp_path / "bert", tmp_path / "build")
    texts = _asked(TEXTS + PAIRS)
    found = session.run(texts, Output.WORDS)
    for row, text in zip(found, texts, strict=True):
        with torch.no_grad():
            logits = model(**torch_inputs(text)).logits[0, text.asked]
        np.testing.assert_allclose(row, logits, **LOGITS)


def test_a_head_whose_table_is_its_own_is_not_taken_for_the_embeddings(tmp_path: Path) -> None:
    model = saved_bert(BertForMaskedLM, tmp_path / "bert", tie_word_embeddings=False)
    session = opened(tmp_path / "bert", tmp_path / "build")
    with torch.no_grad():
        logits = model(**torch_inputs(TEXTS[2])).logits[0, 0]
    np.testing.assert_allclose(session.run([TEXTS[2]], Output.WORDS)[0], logits, **LOGITS)


def test_next_sentences_equal_torch(tmp_path: Path) -> None:
    model = saved_bert(BertForNextSentencePrediction, tmp_path / "bert")
    session = opened(tmp_path / "bert", tmp_path / "build")
    found = session.run(PAIRS, Output.NEXT)
    for row, text in zip(found, PAIRS, strict=True):
        with torch.no_grad():
            np.testing.assert_allclose(row, model(**torch_inputs(text)).logits[0], **EXACT)


def test_pretraining_has_both_heads(tmp_path: Path) -> None:
    model = saved_bert(BertForPreTraining, tmp_path / "bert")
    session = opened(tmp_path / "bert", tmp_path / "build")
    with torch.no_grad():
        given = model(**torch_inputs(PAIRS[1]))
    asked = PAIRS[1]._replace(asked=3)
    np.testing.assert_allclose(
        session.run([asked], Output.WORDS)[0], given.prediction_logits[0, 3], **LOGITS
    )
    np.testing.assert_allclose(
        session.run([asked], Output.NEXT)[0], given.seq_relationship_logits[0], **EXACT
    )


def test_a_checkpoint_named_as_the_hubs_bert_is_read(tmp_path: Path) -> None:
    """Norms called gamma and beta, and more heads than the class in the config has."""
    folder = tmp_path / "bert"
    model = saved_bert(BertForPreTraining, folder)
    norms = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    renamed = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        for new, old in norms.items():
            name = name.replace(new, old)
        renamed[name] = tensor
    save_file(renamed, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertForMaskedLM"]}))
    session = opened(folder, tmp_path / "build")
    with torch.no_grad():
        given = model(**torch_inputs(PAIRS[0])).seq_relationship_logits[0]
    np.testing.assert_allclose(session.run([PAIRS[0]], Output.NEXT)[0], given, **EXACT)


def test_classes_and_their_labels_equal_torch(tmp_path: Path) -> None:
    labels = {0: "bad", 1: "so so", 2: "good"}
    model = saved_bert(BertForSequenceClassification, tmp_path / "bert", id2label=labels)
    session = opened(tmp_path / "bert", tmp_path / "build")
    assert session.class_labels == ("bad", "so so", "good")
    assert not session.several_labels
    texts = TEXTS + PAIRS
    for row, text in zip(session.run(texts, Output.CLASSES), texts, strict=True):
        with torch.no_grad():
            np.testing.assert_allclose(row, model(**torch_inputs(text)).logits[0], **EXACT)


def test_a_model_that_gives_several_labels_says_so(tmp_path: Path) -> None:
    problem = "multi_label_classification"
    saved_bert(BertForSequenceClassification, tmp_path / "bert", problem_type=problem)
    assert opened(tmp_path / "bert", tmp_path / "build").several_labels


def test_labels_of_tokens_equal_torch(tmp_path: Path) -> None:
    labels = {0: "O", 1: "B-PER", 2: "I-PER"}
    model = saved_bert(BertForTokenClassification, tmp_path / "bert", id2label=labels)
    session = opened(tmp_path / "bert", tmp_path / "build")
    assert session.token_labels == ("O", "B-PER", "I-PER")
    found = session.run(TEXTS, Output.TOKENS)
    for row, text in zip(found, TEXTS, strict=True):
        with torch.no_grad():
            logits = model(**torch_inputs(text)).logits[0]
        np.testing.assert_allclose(row[: len(text.ids)], logits, **EXACT)


def test_attention_equals_torch(tmp_path: Path) -> None:
    model = saved_bert(BertModel, tmp_path / "bert", attn_implementation="eager")
    session = opened_wide(tmp_path / "bert", tmp_path / "build")
    for text in (TEXTS[2], PAIRS[0]):
        with torch.no_grad():
            given = model(**torch_inputs(text), output_attentions=True).attentions
        expected = torch.cat(given).numpy()
        np.testing.assert_allclose(session.attention(text), expected, **EXACT)


def test_the_fused_graph_equals_the_one_that_can_be_looked_into(tmp_path: Path) -> None:
    saved_bert(BertModel, tmp_path / "bert")
    fused = opened(tmp_path / "bert", tmp_path / "build").run(TEXTS, Output.HIDDEN)
    plain = opened_wide(tmp_path / "bert", tmp_path / "open").hidden(TEXTS)
    for row, text in enumerate(TEXTS):
        own = slice(len(text.ids))
        np.testing.assert_allclose(fused[row, own], plain[row, own], **EXACT)


@pytest.mark.parametrize("precision", ["int8", "w8a16", "w8row"])
def test_quantised_builds_have_every_head(tmp_path: Path, precision: str) -> None:
    model = saved_bert(BertForPreTraining, tmp_path / "bert")
    session = opened(tmp_path / "bert", tmp_path / "build", precision)
    asked = _asked(PAIRS)
    words, following = session.run(asked, Output.WORDS), session.run(asked, Output.NEXT)
    for row, text in enumerate(asked):
        with torch.no_grad():
            given = model(**torch_inputs(text))
        expected = given.prediction_logits[0, text.asked].numpy()
        assert np.corrcoef(words[row], expected)[0, 1] > 0.99
        np.testing.assert_allclose(following[row], given.seq_relationship_logits[0], atol=0.2)


def test_an_output_that_the_model_lacks_is_refused(tmp_path: Path) -> None:
    saved_bert(BertForMaskedLM, tmp_path / "bert")
    with pytest.raises(KeyError):
        opened(tmp_path / "bert", tmp_path / "build").run(TEXTS, Output.CLASSES)


def test_a_class_without_its_head_is_refused(tmp_path: Path) -> None:
    saved_bert(BertModel, tmp_path / "bert")
    path = tmp_path / "bert" / "config.json"
    config = json.loads(path.read_text()) | {"architectures": ["BertForTokenClassification"]}
    path.write_text(json.dumps(config))
    with pytest.raises(KernelError, match="without classifier"):
        opened(tmp_path / "bert", tmp_path / "build")
