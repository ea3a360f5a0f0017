"""One GGUF file -> config.json, safetensors, tokenizer and generation config. No torch.

Weights are stored as float32: a Q4_1 value is a float16 times a 4-bit number plus a
float16, which float16 itself cannot hold.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from bestiary.errors import GardenError
from bestiary.garden.gguf.architectures import Architecture, architecture_of
from bestiary.garden.gguf.reader import Float32, GgufFile, Tensor
from bestiary.garden.gguf.tokenizer import (
    has_chat_template,
    special_ids,
    stop_ids,
    write_tokenizer,
)
from bestiary.garden.safetensors_writer import ITEM, write_float32
from bestiary.progress import Progress

_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"


@dataclass(frozen=True)
class Description:
    """What a card says of a model, as the file itself states it."""

    title: str
    license: str | None
    architecture: str  # transformers class name
    parameters: int
    context_length: int  # tokens
    instruct: bool


class Conversion:
    """One file, understood; raises GardenError where it cannot be."""

    def __init__(self, path: Path) -> None:
        self._file = GgufFile(path)
        self._architecture: Architecture = architecture_of(self._file)
        self._config = self._architecture.config(self._file)
        self._tensors = self._weights()
        self._shapes = {name: self._shape(tensor) for name, tensor in self._tensors.items()}

    @property
    def size(self) -> int:
        """Bytes that `write` needs, near enough."""
        return sum(math.prod(shape) * ITEM for shape in self._shapes.values())

    @property
    def gguf_types(self) -> dict[str, str]:
        """Written tensor -> the type that it has in the GGUF file."""
        return {name: tensor.type for name, tensor in self._tensors.items()}

    def describe(self) -> Description:
        return Description(
            title=self._file.text("general.name", self._file.path.stem),
            license=self._file.text("general.license", "") or None,
            architecture=self._architecture.class_name,
            parameters=sum(math.prod(shape) for shape in self._shapes.values()),
            context_length=self._context_length(),
            instruct=has_chat_template(self._file),
        )

    def write(self, folder: Path, progress: Progress) -> None:
        """One tensor in memory at a time."""
        title = f"converting {self._file.path.name}"
        with progress.step(title, len(self._tensors), "tensors") as task:

            def values(name: str) -> Float32:
                task.advance()
                return self._values(name)

            try:
                write_float32(folder, self._shapes, values)
            except ValueError as error:
                raise GardenError(f"{self._file.path}: {error}") from error
        _write_json(folder / "config.json", self._config_json())
        _write_json(folder / "generation_config.json", self._generation_config())
        write_tokenizer(self._file, self._context_length(), folder)

    def _weights(self) -> dict[str, Tensor]:
        """transformers name -> tensor; a tied output matrix is stored once, as the embedding."""
        tied = self._tied()
        layers = self._file.integer(f"{self._file.architecture}.block_count")
        for required in self._architecture.required(layers):
            if self._file.tensor(required) is None:
                raise GardenError(f"{self._file.path} lacks the tensor {required}")
        weights: dict[str, Tensor] = {}
        for tensor in self._file.tensors():
            name = self._architecture.name_of(tensor.name)
            if name is not None and not (tied and tensor.name == _OUTPUT):
                weights[name] = tensor
        return weights

    def _tied(self) -> bool:
        output, embedding = self._file.tensor(_OUTPUT), self._file.tensor(_EMBEDDING)
        return output is None or (embedding is not None and output.same_bytes(embedding))

    def _shape(self, tensor: Tensor) -> tuple[int, ...]:
        undo = self._architecture.transform_of(tensor.name, self._file)
        return undo.shape(tensor.shape) if undo else tensor.shape

    def _values(self, name: str) -> Float32:
        tensor = self._tensors[name]
        undo = self._architecture.transform_of(tensor.name, self._file)
        return undo.values(tensor.values()) if undo else tensor.values()

    def _context_length(self) -> int:
        return self._file.integer(f"{self._file.architecture}.context_length")

    def _config_json(self) -> dict[str, object]:
        embedding = self._file.tensor(_EMBEDDING)
        special = special_ids(self._file)
        return {
            "architectures": [self._architecture.class_name],
            **self._config,
            "vocab_size": embedding.shape[0] if embedding else 0,
            "tie_word_embeddings": self._tied(),
            "dtype": "float32",
            "bos_token_id": special.get("bos_token"),
            "eos_token_id": special.get("eos_token"),
            "pad_token_id": special.get("pad_token"),
        }

    def _generation_config(self) -> dict[str, object]:
        special = special_ids(self._file)
        stops = stop_ids(self._file)
        return {
            "bos_token_id": special.get("bos_token"),
            "eos_token_id": stops[0] if len(stops) == 1 else stops,
            "pad_token_id": special.get("pad_token"),
        }


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
