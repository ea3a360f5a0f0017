"""A T5 that was published as two int8 ONNX graphs -> a safetensors folder, converted once.

    encoder.onnx, decoder.onnx, tokenizer.json  ->  as transformers saves a T5

The graphs are what PyTorch's exporter and ONNX Runtime's dynamic quantisation leave: a weight
is `<name>_quantized` with `<name>_scale` and `<name>_zero_point`, and the node that reads it
tells by its own name which linear layer it was. What was lost when they were made stays lost:
a weight becomes (quantised - zero point) * scale, in float32. Knows this one layout;
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bestiary.errors import GardenError
from bestiary.garden.safetensors_writer import Float32, write_float32
from bestiary.progress import Progress

TOKENIZER = "tokenizer.json"
PARTS = ("encoder", "decoder")
FILES = frozenset({TOKENIZER, *(f"{part}.onnx" for part in PARTS)})
_QUANTIZED = "_quantized"
_LINEAR = re.compile(
    r"(block\.\d+)/(?:block\.\d+/)?(layer\.\d+)/"
    r"(SelfAttention|EncDecAttention|DenseReluDense)/(q|k|v|o|wi|wi_0|wi_1|wo)/"
)
_OWN_PREFIX = re.compile(r"^(?:enc|m\.decoder|encoder|decoder)\.")
_MAX_LENGTH = 64  # of an output; a title is far shorter
_EPSILON, _REACH = 1e-6, 128  # T5's own, which no published T5 changes and no graph names

Array = npt.NDArray[np.generic]


def convert_t5(folder: Path, staged: Path, progress: Progress) -> None:
    """Writes config, weights and tokenizer. Raises GardenError for graphs of another kind."""
    with progress.step("Converting int8 ONNX to safetensors", len(PARTS), "graphs") as task:
        tensors: dict[str, Float32] = {}
        for part in PARTS:
            tensors |= dict(_tensors(folder / f"{part}.onnx", part))
            task.advance()
    config = _config(tensors)
    shapes = {name: tensors[name].shape for name in sorted(tensors)}
    write_float32(staged, shapes, tensors.__getitem__)
    special = _special_tokens(folder / TOKENIZER)
    _write(staged / "config.json", config | special.ids)
    _write(staged / "generation_config.json", special.ids | {"max_length": _MAX_LENGTH})
    _write(staged / "tokenizer_config.json", special.names)
    shutil.copyfile(folder / TOKENIZER, staged / TOKENIZER)


def _tensors(path: Path, part: str) -> Iterator[tuple[str, Float32]]:
    # Imported here: only a conversion needs it.
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    stored: dict[str, Array] = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    yield from _named(stored, part)
    for node in graph.node:
        for name in node.input:
            weight = name in stored and name.endswith(_QUANTIZED)  # activations end so too
            if weight and node.op_type in ("MatMulInteger", "MatMul"):
                # The graph multiplies from the right: [in, out].
                yield _linear_name(node.name, part), _dequantised(stored, name).T


def _named(stored: Mapping[str, Array], part: str) -> Iterator[tuple[str, Float32]]:
    """Norms, embeddings and position biases keep their names."""
    for name, value in stored.items():
        if name.endswith("layer_norm.weight"):
            yield _OWN_PREFIX.sub(f"{part}.", name), value.astype(np.float32)
        elif name.endswith(f"relative_attention_bias.weight{_QUANTIZED}"):
            own = _OWN_PREFIX.sub(f"{part}.", name)
            yield own.removesuffix(_QUANTIZED), _dequantised(stored, name)
        elif name.endswith((f"embed_tokens.weight{_QUANTIZED}", f"shared.weight{_QUANTIZED}")):
            yield "shared.weight", _dequantised(stored, name)


def _linear_name(node: str, part: str) -> str:
    if "lm_head" in node:
        return "lm_head.weight"
    found = _LINEAR.search(node)
    if found is None:
        raise GardenError(f"{part}.onnx multiplies in {node!r}, which is no layer of a T5")
    return f"{part}.{'.'.join(found.groups())}.weight"


def _dequantised(stored: Mapping[str, Array], name: str) -> Float32:
    base = name.removesuffix(_QUANTIZED)
    try:
        scale, zero = stored[f"{base}_scale"], stored[f"{base}_zero_point"]
    except KeyError as error:
        raise GardenError(f"{name} has no scale or zero point beside it") from error
    return (stored[name].astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)


def _config(tensors: Mapping[str, Float32]) -> dict[str, object]:
    """Everything but the epsilon and the reach of positions can be read off the weights."""
    try:
        vocabulary, width = tensors["shared.weight"].shape
        buckets, heads = tensors[
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        ].shape
        inner = tensors["encoder.block.0.layer.0.SelfAttention.q.weight"].shape[0]
        gated = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight" in tensors
        widened = "wi_0" if gated else "wi"
        feed_forward = tensors[f"encoder.block.0.layer.1.DenseReluDense.{widened}.weight"]
    except KeyError as error:
        raise GardenError(f"the graphs hold no T5: {error} is missing") from error
    own_head = "lm_head.weight" in tensors
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "is_encoder_decoder": True,
        "vocab_size": vocabulary,
        "d_model": width,
        "d_kv": inner // heads,
        "d_ff": feed_forward.shape[0],
        "num_heads": heads,
        "num_layers": _layers(tensors, "encoder"),
        "num_decoder_layers": _layers(tensors, "decoder"),
        "relative_attention_num_buckets": buckets,
        "relative_attention_max_distance": _REACH,
        "layer_norm_epsilon": _EPSILON,
        "feed_forward_proj": "gated-gelu" if gated else "relu",
        "tie_word_embeddings": not own_head,
        "scale_decoder_outputs": not own_head,
        "torch_dtype": "float32",
    }


def _layers(tensors: Mapping[str, Float32], part: str) -> int:
    pattern = re.compile(rf"{part}\.block\.(\d+)\.")
    found = [int(match[1]) for match in map(pattern.match, tensors) if match is not None]
    return max(found) + 1


@dataclass(frozen=True, slots=True)
class _Special:
    ids: dict[str, object]
    names: dict[str, object]  # tokenizer_config.json


def _special_tokens(path: Path) -> _Special:
    tokenizer = json.loads(path.read_text("utf-8"))
    known = {one["content"]: one["id"] for one in tokenizer.get("added_tokens", [])}
    try:
        pad, end = known["<pad>"], known["</s>"]
    except KeyError as error:
        raise GardenError(f"{path} has no {error}, which a T5's tokenizer has") from error
    ids: dict[str, object] = {
        "pad_token_id": pad,
        "eos_token_id": end,
        "decoder_start_token_id": pad,
    }
    names: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    return _Special(ids, names)


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
