"""GGUF architecture -> transformers: names of tensors, what llama.cpp did to them, the config.

Each entry undoes one class of llama.cpp's conversion/ folder; transformers'
`modeling_gguf_pytorch_utils.py` is the reference that the tests compare with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from bestiary.errors import GardenError
from bestiary.garden.gguf.reader import Float32, GgufFile
from bestiary.garden.gguf.rope import rope_parameters

Config = dict[str, object]
Shape = tuple[int, ...]

_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")
_ROPE_FACTORS = "rope_freqs.weight"  # in the config, not a weight
# What llama.cpp computes where a file says so, and none of the classes here does.
_UNSUPPORTED = (
    "attention.clamp_kqv",
    "attention.max_alibi_bias",
    "attention.scale",
    "attn_logit_softcapping",
    "embedding_scale",
    "logit_scale",
    "residual_scale",
)
_WINDOW = "attention.sliding_window"
_SOFTCAP = "final_logit_softcapping"


@dataclass(frozen=True)
class Transform:
    """Undoes what llama.cpp did to one kind of tensor."""

    values: Callable[[Float32], Float32]
    shape: Callable[[Shape], Shape] = lambda shape: shape


@dataclass(frozen=True)
class Architecture:
    """`top` and `block` rename; `transforms` maps a GGUF name's tail to what undoes a change."""

    class_name: str
    top: Mapping[str, str]
    layer: str  # "model.layers.{}."
    block: Mapping[str, str]  # each a ".weight", and a ".bias" where `biased` says so
    config: Callable[[GgufFile], Config]
    biased: frozenset[str] = frozenset()  # of `top` and `block`: those that have a bias as well
    transforms: Callable[[GgufFile], Mapping[str, Transform]] = field(default=lambda file: {})
    reads: frozenset[str] = frozenset()  # of the metadata that otherwise is not supported

    def name_of(self, gguf_name: str) -> str | None:
        """The transformers name; None for what is no weight there. Raises on unknown tensors."""
        if gguf_name == _ROPE_FACTORS:
            return None
        stem, _, kind = gguf_name.rpartition(".")
        in_block = _BLOCK.fullmatch(stem)
        part = in_block[2] if in_block else stem
        known = (self.block if in_block else self.top).get(part)
        if known is None or not (kind == "weight" or (kind == "bias" and part in self.biased)):
            raise GardenError(f"GGUF tensor {gguf_name!r} has no place in {self.class_name}")
        layer = self.layer.format(in_block[1]) if in_block else ""
        return f"{layer}{known}.{kind}"

    def required(self, layers: int) -> Iterator[str]:
        """GGUF names without which the model is a torso; an output matrix may be tied instead."""
        tops = [part for part in self.top if part != "output"]
        blocks = [f"blk.{layer}.{part}" for layer in range(layers) for part in self.block]
        yield from (f"{part}.weight" for part in (*tops, *blocks))
        yield from (f"{part}.bias" for part in (*tops, *blocks) if self._is_biased(part))

    def _is_biased(self, name: str) -> bool:
        return name.rpartition(".")[2] in self.biased

    def transform_of(self, gguf_name: str, file: GgufFile) -> Transform | None:
        tails = self.transforms(file)
        return next((undo for tail, undo in tails.items() if gguf_name.endswith(tail)), None)


def architecture_of(file: GgufFile) -> Architecture:
    """Raises GardenError, listing what is supported."""
    found = _ARCHITECTURES.get(file.architecture)
    if found is None:
        raise GardenError(
            f"{file.path}: GGUF architecture {file.architecture!r} is not supported; "
            f"supported: {', '.join(sorted(_ARCHITECTURES))}"
        )
    if file.integer(f"{file.architecture}.expert_count", 0):
        raise GardenError(f"{file.path}: mixtures of experts are not supported")
    if file.integer("split.count", 1) > 1:
        raise GardenError(f"{file.path} is one part of several; merge them with llama-gguf-split")
    unread = [key for key in (*_UNSUPPORTED, _WINDOW, _SOFTCAP) if key not in found.reads]
    for key in (f"{file.architecture}.{tail}" for tail in unread):
        if key in file and file.real(key):
            raise GardenError(f"{file.path}: {key} is not supported")
    if not file.flag(f"{file.architecture}.attention.causal", True):
        raise GardenError(f"{file.path}: tokens that see what follows them are not supported")
    return found


def _attention(file: GgufFile) -> tuple[int, int, int]:
    """Heads, key-value heads, width of a head."""
    prefix = file.architecture
    heads = file.integer(f"{prefix}.attention.head_count")
    hidden = file.integer(f"{prefix}.embedding_length")
    if heads < 1 or hidden < 1:
        raise GardenError(f"{file.path}: {heads} attention heads over {hidden} values")
    kv_heads = file.integer(f"{prefix}.attention.head_count_kv", heads)
    width = file.integer(f"{prefix}.attention.key_length", hidden // heads)
    values = file.integer(f"{prefix}.attention.value_length", width)
    if values != width:
        raise GardenError(f"{file.path}: keys are {width} wide and values {values}")
    return heads, kv_heads, width


def _decoder_config(file: GgufFile, model_type: str) -> Config:
    """What all decoders with RMS norms and rotary positions share."""
    prefix = file.architecture
    heads, kv_heads, head_dim = _attention(file)
    rotated = file.integer(f"{prefix}.rope.dimension_count", head_dim)
    if rotated != head_dim:
        raise GardenError(f"{file.path}: {rotated} of {head_dim} values are rotated, not all")
    return {
        "model_type": model_type,
        "hidden_size": file.integer(f"{prefix}.embedding_length"),
        "intermediate_size": file.integer(f"{prefix}.feed_forward_length"),
        "num_hidden_layers": file.integer(f"{prefix}.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "max_position_embeddings": file.integer(f"{prefix}.context_length"),
        "rms_norm_eps": file.real(f"{prefix}.attention.layer_norm_rms_epsilon"),
        "rope_parameters": rope_parameters(file, prefix, head_dim, base=10_000.0),
    }


def _llama_config(file: GgufFile) -> Config:
    return _decoder_config(file, "llama") | {"hidden_act": "silu"}


def _qwen2_config(file: GgufFile) -> Config:
    return _decoder_config(file, "qwen2") | {"hidden_act": "silu"}


def _qwen3_config(file: GgufFile) -> Config:
    return _decoder_config(file, "qwen3") | {"hidden_act": "silu"}


_GEMMA3_PATTERN = 6  # every sixth layer sees everything
_GEMMA3_27B_LAYERS = 62  # the one size whose attention scale is not its head's width
_GEMMA3_LOCAL_THETA = 10_000.0


def _gemma3_config(file: GgufFile) -> Config:
    config = _decoder_config(file, "gemma3_text")
    heads, _, head_dim = _attention(file)
    layers = file.integer("gemma3.block_count")
    hidden = file.integer("gemma3.embedding_length")
    full = rope_parameters(file, "gemma3", head_dim, base=1_000_000.0)
    return config | {
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": hidden // heads if layers == _GEMMA3_27B_LAYERS else head_dim,
        # transformers wants a number even where no layer has a window.
        "sliding_window": file.integer("gemma3.attention.sliding_window", 0)
        or config["max_position_embeddings"],
        "layer_types": [
            "sliding_attention" if slides else "full_attention"
            for slides in _gemma3_slides(file, layers)
        ],
        "final_logit_softcapping": file.real("gemma3.final_logit_softcapping", 0.0) or None,
        "rope_parameters": {
            "full_attention": full,
            "sliding_attention": {
                "rope_type": "default",
                "rope_theta": file.real("gemma3.rope.freq_base_swa", _GEMMA3_LOCAL_THETA),
            },
        },
    }


def _gemma3_slides(file: GgufFile, layers: int) -> list[bool]:
    """Which layers have a window. The file says it layer by layer, as a period, or not at all."""
    key = "gemma3.attention.sliding_window_pattern"
    if not file.integer("gemma3.attention.sliding_window", 0):
        return [False] * layers
    if file.holds_array(key):
        stated = [bool(slides) for slides in file.array(key) or ()]
        if len(stated) != layers:
            raise GardenError(f"{file.path}: {key} is of {len(stated)} layers, not {layers}")
        return stated
    period = file.integer(key, _GEMMA3_PATTERN)
    if period < 1:
        raise GardenError(f"{file.path}: {key} is {period}")
    return [(layer + 1) % period != 0 for layer in range(layers)]


def _gpt2_config(file: GgufFile) -> Config:
    return {
        "model_type": "gpt2",
        "n_embd": file.integer("gpt2.embedding_length"),
        "n_inner": file.integer("gpt2.feed_forward_length"),
        "n_layer": file.integer("gpt2.block_count"),
        "n_head": file.integer("gpt2.attention.head_count"),
        "n_positions": file.integer("gpt2.context_length"),
        "layer_norm_epsilon": file.real("gpt2.attention.layer_norm_epsilon"),
        "activation_function": "gelu_new",
    }


def _unpermuted(heads: int) -> Transform:
    """llama.cpp pairs a head's rotary values as neighbours, transformers as its two halves."""

    def undo(rows: Float32) -> Float32:
        half = rows.shape[0] // heads // 2
        paired = rows.reshape(heads, half, 2, *rows.shape[1:])
        return paired.swapaxes(1, 2).reshape(rows.shape)

    return Transform(undo)


def _llama_transforms(file: GgufFile) -> Mapping[str, Transform]:
    heads, kv_heads, _ = _attention(file)
    return {
        ".attn_q.weight": _unpermuted(heads),
        ".attn_k.weight": _unpermuted(kv_heads),
    }


def _gemma3_transforms(file: GgufFile) -> Mapping[str, Transform]:
    # llama.cpp stores a norm as 1 + w; transformers adds the 1 when it runs.
    return {"norm.weight": Transform(lambda weight: weight - 1)}


def _gpt2_transforms(file: GgufFile) -> Mapping[str, Transform]:
    # GPT-2's Conv1D keeps (in, out); llama.cpp turned it round.
    names = ("attn_qkv", "attn_output", "ffn_up", "ffn_down")
    turned = Transform(lambda weight: weight.T, lambda shape: shape[::-1])
    return {f".{name}.weight": turned for name in names}


_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LLAMA_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_HEAD_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
_GEMMA3_BLOCK = {
    **_LLAMA_BLOCK,
    **_HEAD_NORMS,
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_GPT2_TOP = {
    "token_embd": "transformer.wte",
    "position_embd": "transformer.wpe",
    "output_norm": "transformer.ln_f",
    "output": "lm_head",
}
_GPT2_BLOCK = {
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
_LAYER = "model.layers.{}."

_QWEN2_BIASED = frozenset({"attn_q", "attn_k", "attn_v"})
_GPT2_BIASED = frozenset({"output_norm", *_GPT2_BLOCK})

_ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture(
        class_name="LlamaForCausalLM",
        top=_TOP,
        layer=_LAYER,
        block=_LLAMA_BLOCK,
        config=_llama_config,
        transforms=_llama_transforms,
    ),
    "qwen2": Architecture(
        class_name="Qwen2ForCausalLM",
        top=_TOP,
        layer=_LAYER,
        block=_LLAMA_BLOCK,
        config=_qwen2_config,
        biased=_QWEN2_BIASED,
    ),
    "qwen3": Architecture(
        class_name="Qwen3ForCausalLM",
        top=_TOP,
        layer=_LAYER,
        block={**_LLAMA_BLOCK, **_HEAD_NORMS},
        config=_qwen3_config,
    ),
    "gemma3": Architecture(
        class_name="Gemma3ForCausalLM",
        top=_TOP,
        layer=_LAYER,
        block=_GEMMA3_BLOCK,
        config=_gemma3_config,
        transforms=_gemma3_transforms,
        reads=frozenset({_WINDOW, _SOFTCAP}),
    ),
    "gpt2": Architecture(
        class_name="GPT2LMHeadModel",
        top=_GPT2_TOP,
        layer="transformer.h.{}.",
        block=_GPT2_BLOCK,
        config=_gpt2_config,
        biased=_GPT2_BIASED,
        transforms=_gpt2_transforms,
    ),
}
