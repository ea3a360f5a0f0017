"""Marian's tokenizer on the hub: a SentencePiece model for each side and one joint vocabulary.

    source.spm, target.spm    SentencePiece unigram models, protobuf
    vocab.json                piece -> id, of both sides

A text is cut into the source model's pieces, which `vocab.json` numbers. The format:
https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from bestiary.errors import KernelError

SOURCE_FILE = "source.spm"
VOCABULARY_FILE = "vocab.json"
UNIGRAM = 1  # of the format's model types
SPACE = "▁"
UNKNOWN = "<unk>"
SPECIALS = frozenset({"<pad>", "</s>", "<s>", UNKNOWN})
LANGUAGE = re.compile(r"^(>>[^<>]+<<)\s*")  # what many-target models read first


class MarianPieces:
    def __init__(self, folder: Path, end: int) -> None:
        path = folder / VOCABULARY_FILE
        if not path.is_file():
            raise KernelError(f"{folder} has {SOURCE_FILE} but no {VOCABULARY_FILE}")
        self._ids: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
        self._names: dict[int, str] = {number: piece for piece, number in self._ids.items()}
        self._unknown = self._ids[UNKNOWN]
        self._end = end
        self._source = read_unigram(folder / SOURCE_FILE)
        self.specials = 1

    def encode(self, text: str, most: int | None) -> tuple[list[int], int]:
        language = LANGUAGE.match(text)
        first = [] if language is None else [language.group(1)]
        rest = text if language is None else text[language.end() :]
        pieces = [*first, *self._source.encode(rest, add_special_tokens=False).tokens]
        whole = len(pieces) + self.specials
        kept = pieces if most is None else pieces[: max(0, most - self.specials)]
        return [*(self._ids.get(one, self._unknown) for one in kept), self._end], whole

    def decode(self, ids: Sequence[int]) -> str:
        pieces = [self._name(token) for token in ids]
        said = (one for one in pieces if one not in SPECIALS and not LANGUAGE.match(one))
        text: str = "".join(said).replace(SPACE, " ").strip()
        return text

    def token_text(self, token: int) -> str:
        return self._name(token).replace(SPACE, " ")

    def _name(self, token: int) -> str:
        return self._names.get(token, UNKNOWN)


def read_unigram(path: Path) -> Tokenizer:
    """A SentencePiece unigram model as a tokenizer. Raises KernelError for another kind."""
    # Imported only here: one family of models needs it. The bindings ship with transformers.
    from transformers.utils import sentencepiece_model_pb2_new as format_of

    model: Any = format_of.ModelProto()
    model.ParseFromString(path.read_bytes())
    if model.trainer_spec.model_type != UNIGRAM:
        raise KernelError(f"{path} is no unigram model")
    scored = [(piece.piece, piece.score) for piece in model.pieces]
    unknown = model.trainer_spec.unk_id
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=unknown, byte_fallback=False))
    steps: list[normalizers.Normalizer] = []
    if model.normalizer_spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap))
    if model.normalizer_spec.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence(steps)
    prefixed = "always" if model.normalizer_spec.add_dummy_prefix else "never"
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(
        replacement=SPACE, prepend_scheme=prefixed, split=False
    )
    return tokenizer
