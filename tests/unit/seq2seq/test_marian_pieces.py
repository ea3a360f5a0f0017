"""Marian's SentencePiece files: a text is cut by the source model, numbered by the vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers.utils import sentencepiece_model_pb2_new as format_of

from bestiary.errors import KernelError
from deployments.seq2seq.pieces import Pieces, load_pieces

SCORES = {"<unk>": 0.0, "▁the": -2.0, "▁cat": -3.0, "▁c": -5.0, "at": -5.5, "▁": -6.0, "s": -4.0}
VOCABULARY = {"</s>": 0, "<unk>": 1, "s": 2, "▁the": 3, "▁cat": 4, "▁le": 5, "▁chat": 6, "<pad>": 7}
VOCABULARY |= {">>fr<<": 8, "at": 9, "▁c": 10}


def write_model(path: Path, kind: int = 1) -> None:
    model = format_of.ModelProto()
    for piece, score in SCORES.items():
        model.pieces.add(piece=piece, score=score, type=2 if piece == "<unk>" else 1)
    model.trainer_spec.model_type = kind
    model.trainer_spec.unk_id = 0
    model.normalizer_spec.add_dummy_prefix = True
    model.normalizer_spec.remove_extra_whitespaces = True
    path.write_bytes(model.SerializeToString())


@pytest.fixture
def pieces(tmp_path: Path) -> Pieces:
    write_model(tmp_path / "source.spm")
    write_model(tmp_path / "target.spm")
    (tmp_path / "vocab.json").write_text(json.dumps(VOCABULARY))
    return load_pieces(tmp_path, end=0)


def test_the_likeliest_pieces_get_the_vocabularys_numbers(pieces: Pieces) -> None:
    assert pieces.encode("  the   cats ", None) == ([3, 4, 2, 0], 4)


def test_what_the_vocabulary_lacks_is_unknown(pieces: Pieces) -> None:
    ids, _ = pieces.encode("the x", None)
    assert ids[0] == 3
    assert set(ids[1:-1]) == {1}


def test_a_text_is_cut_before_its_end_token(pieces: Pieces) -> None:
    assert pieces.encode("the cats", 3) == ([3, 4, 0], 4)


def test_a_target_language_comes_first(pieces: Pieces) -> None:
    assert pieces.encode(">>fr<< the cat", None)[0] == [8, 3, 4, 0]


def test_outputs_are_joined_without_special_tokens(pieces: Pieces) -> None:
    assert pieces.decode([7, 5, 6, 2, 0]) == "le chats"


def test_a_token_is_shown_as_text(pieces: Pieces) -> None:
    assert [pieces.token_text(one) for one in (6, 2, 0, 99)] == [" chat", "s", "</s>", "<unk>"]


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "source.spm", kind=2)
    (tmp_path / "vocab.json").write_text(json.dumps(VOCABULARY))
    with pytest.raises(KernelError, match="no unigram model"):
        load_pieces(tmp_path, end=0)


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=r"neither tokenizer.json nor source.spm"):
        load_pieces(tmp_path, end=0)
