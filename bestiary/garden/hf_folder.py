"""Reading a Hugging Face folder: is it whole and safe, and what does it say of itself?

Opens JSON and safetensors headers only. Format of the latter:
https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from bestiary.errors import GardenError
from bestiary.garden.card import Family
from bestiary.garden.file_kinds import PICKLE_SUFFIXES

_CONFIG, _TOKENIZER = "config.json", "tokenizer.json"
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_MAX_HEADER = 100_000_000  # bytes, the format's own limit
_TEXT_CLASSES = ("ForCausalLM", "LMHeadModel")
_ENCODER_TYPES = ("bert", "distilbert", "mpnet", "roberta", "xlm-roberta")
_SEQ2SEQ_CLASSES = (
    "T5ForConditionalGeneration",
    "BartForConditionalGeneration",
    "MarianMTModel",
    "RecurrentSeq2Seq",
)
_MARIAN_TOKENIZER = ("source.spm", "target.spm", "vocab.json")
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_position")


class HfFolder:
    """Raises GardenError on construction for a folder that cannot be served."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in (_CONFIG, *_tokenizer_files(path)):
            if not (path / name).is_file():
                raise GardenError(f"{path} has no {name}; save the model with save_pretrained")
        self._config = _json(path / _CONFIG)
        self.parameters = sum(map(parameters_of, self._weight_files()))

    @property
    def architecture(self) -> str:
        names = self._config.get("architectures")
        if not isinstance(names, list) or not names:
            raise GardenError(f"{self.path}/{_CONFIG} names no architectures")
        return str(names[0])

    @property
    def family(self) -> Family:
        kind = str(self._config.get("model_type"))
        if self.architecture.endswith(_TEXT_CLASSES):
            return Family.TEXT
        if kind in _ENCODER_TYPES:
            return Family.ENCODER
        if self.architecture in _SEQ2SEQ_CLASSES:
            return Family.SEQ2SEQ
        raise GardenError(
            f"{self.path}: {self.architecture} ({kind}) belongs to no family; text: classes "
            f"*{', *'.join(_TEXT_CLASSES)}; encoder: types {', '.join(_ENCODER_TYPES)}; "
            f"seq2seq: {', '.join(_SEQ2SEQ_CLASSES)}"
        )

    @property
    def context_length(self) -> int:
        """Tokens."""
        return self._integer(*_CONTEXT_KEYS)

    @property
    def hidden_size(self) -> int:
        return self._integer("hidden_size", "dim", "n_embd")

    @property
    def has_chat_template(self) -> bool:
        if (self.path / "chat_template.jinja").is_file():
            return True
        beside = self.path / "tokenizer_config.json"
        return beside.is_file() and bool(_json(beside).get("chat_template"))

    def _integer(self, *keys: str) -> int:
        for key in keys:
            value = self._config.get(key)
            if isinstance(value, int):
                return value
        raise GardenError(f"{self.path}/{_CONFIG} has none of {', '.join(keys)}")

    def _weight_files(self) -> list[Path]:
        if (self.path / _INDEX).is_file():
            placed = _json(self.path / _INDEX).get("weight_map")
            if not isinstance(placed, dict) or not placed:
                raise GardenError(f"{self.path}/{_INDEX} has no weight_map")
            return [self._shard(str(name)) for name in sorted(set(placed.values()))]
        if (self.path / _WEIGHTS).is_file():
            return [self.path / _WEIGHTS]
        pickles = sorted(one.name for one in self.path.iterdir() if one.suffix in PICKLE_SUFFIXES)
        if pickles:
            raise GardenError(
                f"{self.path} has its weights only as pickles ({', '.join(pickles)}), which can "
                "run code when opened; save them as safetensors first (save_pretrained does)"
            )
        raise GardenError(f"{self.path} has neither {_WEIGHTS} nor {_INDEX}")

    def _shard(self, name: str) -> Path:
        if Path(name).name != name or not (self.path / name).is_file():
            raise GardenError(f"{self.path} lacks the shard {name!r} that {_INDEX} names")
        return self.path / name


def _tokenizer_files(path: Path) -> tuple[str, ...]:
    """Marian's, where the folder has them in place of the usual one."""
    marian = not (path / _TOKENIZER).is_file() and (path / _MARIAN_TOKENIZER[0]).is_file()
    return _MARIAN_TOKENIZER if marian else (_TOKENIZER,)


def parameters_of(path: Path) -> int:
    """Numbers in one safetensors file. Raises GardenError where the file is not whole."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(size, _MAX_HEADER):
                raise GardenError(f"{path} is cut off or is not a safetensors file")
            header = json.loads(file.read(length))
        tensors = [one for name, one in header.items() if name != "__metadata__"]
        learned = [one for one in tensors if "F" in one["dtype"]]  # not position ids
        end = max((one["data_offsets"][1] for one in tensors), default=0)
        count = sum(int(math.prod(one["shape"])) for one in learned)
    except (ValueError, AttributeError, KeyError, IndexError, TypeError) as error:
        raise GardenError(f"{path} is not a safetensors file: {error}") from error
    if size != 8 + length + end:
        raise GardenError(f"{path} has {size} bytes, its header announces {8 + length + end}")
    return count


def _json(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise GardenError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise GardenError(f"{path} is not a JSON object")
    return content
