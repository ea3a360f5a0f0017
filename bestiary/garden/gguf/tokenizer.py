"""The tokenizer and chat template out of a GGUF file's metadata.

transformers builds the tokenizer; three facts that it leaves out are put right here as
llama.cpp has them (`src/llama-vocab.cpp`): SmolLM splits every digit, some vocabularies
take a whole word before its merges, and some prompts begin with BOS though no key says so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers, processors
from transformers.integrations.gguf.gguf_tokenizer_mapping import (
    GGUF_PRE_TOKENIZER_SPLITS,
    convert_gguf_tokenizer,
)

from bestiary.errors import GardenError
from bestiary.garden.gguf.reader import GgufFile

_PREFIX = "tokenizer.ggml."
_TEMPLATE = "tokenizer.chat_template"
_BYTE_LEVEL = "gpt2"  # GGUF's word for a byte-level BPE
_SENTENCEPIECE = "llama"  # GGUF's word for a SentencePiece BPE
_GPT2_SPLITS = frozenset({"default", "gpt-2"})
_DIGIT_SPLITS = frozenset({"smollm", "starcoder", "refact", "command-r"})
# These begin with BOS as well.
_WHOLE_WORDS_FIRST = frozenset({"llama3", "llama-v3", "llama-bpe", "tekken"})
_IDS = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}


def write_tokenizer(file: GgufFile, context_length: int, folder: Path) -> None:
    """Writes `tokenizer.json` and `tokenizer_config.json`. Raises GardenError."""
    tokens = _tokens(file)
    tokenizer = _tokenizer(file, tokens)
    special = special_ids(file)
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
        **{name: tokens[index] for name, index in special.items()},
    }
    if _TEMPLATE in file:
        config["chat_template"] = file.text(_TEMPLATE)
    # Not `save`: its error for a full disk has no number.
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), "utf-8")
    text = json.dumps(config, indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", "utf-8")


def special_ids(file: GgufFile) -> dict[str, int]:
    """`bos_token` ... -> id, for those that the file names; a missing pad token is the EOS."""
    size = len(_tokens(file))
    keys = {name: _PREFIX + key for name, key in _IDS.items() if _PREFIX + key in file}
    ids = {name: file.integer(key) for name, key in keys.items()}
    if "pad_token" not in ids and "eos_token" in ids:
        ids["pad_token"] = ids["eos_token"]
    for name, index in ids.items():
        if not 0 <= index < size:
            raise GardenError(f"{file.path}: {name} is {index}, outside its {size} tokens")
    return ids


def stop_ids(file: GgufFile) -> list[int]:
    """Tokens that end an answer: EOS, and a chat model's end of turn."""
    keys = (f"{_PREFIX}eos_token_id", f"{_PREFIX}eot_token_id")
    return list(dict.fromkeys(file.integer(key) for key in keys if key in file))


def has_chat_template(file: GgufFile) -> bool:
    return _TEMPLATE in file


def _tokens(file: GgufFile) -> list[str]:
    tokens = file.array(f"{_PREFIX}tokens")
    if not tokens:
        raise GardenError(f"{file.path} has no vocabulary ({_PREFIX}tokens)")
    return tokens


def _tokenizer(file: GgufFile, tokens: list[str]) -> Tokenizer:
    kind = file.text(f"{_PREFIX}model")
    split = file.text(f"{_PREFIX}pre", "default")
    known = _GPT2_SPLITS | _DIGIT_SPLITS | set(GGUF_PRE_TOKENIZER_SPLITS)
    if kind == _BYTE_LEVEL and split not in known:
        # Any other split would give other tokens than the model was trained on, silently.
        raise GardenError(
            f"{file.path}: pre-tokenizer {split!r} is not known; known: {', '.join(sorted(known))}"
        )
    stated: dict[str, Any] = {"tokenizer_type": kind, "pre_tokenizer_type": split, "tokens": tokens}
    for name in ("scores", "token_type", "merges"):
        values = file.array(_PREFIX + name)
        if values is not None:
            stated[name] = values
    try:
        tokenizer: Tokenizer = convert_gguf_tokenizer(file.architecture, stated)[0]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise GardenError(f"{file.path}: no tokenizer can be built: {error}") from error
    if split in _DIGIT_SPLITS:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
    if split in _WHOLE_WORDS_FIRST:
        tokenizer.model.ignore_merges = True
    if _begins_with_bos(file, kind, split):
        _begin_with_bos(tokenizer, file, tokens)
    return tokenizer


def _begins_with_bos(file: GgufFile, kind: str, split: str) -> bool:
    default = kind == _SENTENCEPIECE or split in _WHOLE_WORDS_FIRST
    return file.flag(f"{_PREFIX}add_bos_token", default)


def _begin_with_bos(tokenizer: Tokenizer, file: GgufFile, tokens: list[str]) -> None:
    index = special_ids(file).get("bos_token")
    if index is None:
        return
    bos = tokens[index]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[bos, "$A"], pair=[bos, "$A", bos, "$B"], special_tokens=[(bos, index)]
    )
