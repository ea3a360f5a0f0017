"""transformers' ImageGPT as two parts: one reads many places at once, one writes the next.

Both walk through the model's own layers. The writer's keys and values come from outside, a row at
its own place in each: what lies at its place or beyond is not looked at. Imported in the building
process only. https://huggingface.co/docs/transformers/model_doc/imagegpt
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import ImageGPTForCausalImageModeling

from bestiary.errors import KernelError
from deployments.kernels import image_names as names
from deployments.kernels.image_torch import TorchPart

ROWS = {0: "B"}
EXAMPLE_ROOM = 16  # places
UNSEEN = torch.finfo(torch.float32).min


class _Layers(nn.Module):  # type: ignore[misc]  # torch is not typed
    def __init__(self, model: ImageGPTForCausalImageModeling) -> None:
        super().__init__()
        self.model = model
        config = model.config
        self.heads = config.num_attention_heads
        self.width = config.hidden_size // self.heads  # of a head

    def embedded(self, ids: Tensor, places: Tensor) -> Tensor:
        body = self.model.transformer
        found: Tensor = body.wte(ids) + body.wpe(places)
        return found

    def split(self, block: nn.Module, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, h, S, d], scaled; keys [B, h, d, S]; values [B, h, S, d]."""
        joined = product(block.attn.c_attn, block.ln_1(hidden))
        joined = joined.unflatten(-1, (3, self.heads, self.width))
        query, key, value = joined.unbind(2)
        scale = self.width**-0.5 if block.attn.scale_attn_weights else 1.0
        if block.attn.scale_attn_by_inverse_layer_idx:
            scale /= block.attn.layer_idx + 1
        return query.transpose(1, 2) * scale, key.permute(0, 2, 3, 1), value.transpose(1, 2)

    def joined(self, block: nn.Module, hidden: Tensor, seen: Tensor) -> Tensor:
        """The layer's end, after its attention [B, h, S, d]."""
        hidden = hidden + product(block.attn.c_proj, seen.transpose(1, 2).flatten(2))
        widened = block.mlp.act(product(block.mlp.c_fc, block.ln_2(hidden)))
        return hidden + product(block.mlp.c_proj, widened)

    def logits(self, hidden: Tensor) -> Tensor:
        found: Tensor = self.model.lm_head(self.model.transformer.ln_f(hidden))
        return found


class Reader(_Layers):
    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """[B, S] -> logits [B, S, vocabulary], and keys and values of each layer."""
        places = torch.arange(ids.shape[1])
        later = places[None, :] > places[:, None]
        hidden, kept = self.embedded(ids, places[None]), []
        for block in self.model.transformer.h:
            query, key, value = self.split(block, hidden)
            scores = (query @ key).masked_fill(later, UNSEEN)
            hidden = self.joined(block, hidden, scores.softmax(-1) @ value)
            kept += [key, value]
        return (self.logits(hidden), *kept)


class Writer(_Layers):
    def forward(self, tokens: Tensor, places: Tensor, *cache: Tensor) -> tuple[Tensor, ...]:
        """[B] and [B] -> logits [B, vocabulary], and the keys and values of these places."""
        room = cache[0].shape[3]
        later = (torch.arange(room)[None] >= places[:, None])[:, None, None]  # [B, 1, 1, c]
        hidden, kept = self.embedded(tokens[:, None], places[:, None]), []
        for layer, block in enumerate(self.model.transformer.h):
            query, key, value = self.split(block, hidden)
            keys, values = cache[2 * layer], cache[2 * layer + 1]
            scores = torch.cat(((query @ keys).masked_fill(later, UNSEEN), query @ key), -1)
            shares = scores.softmax(-1)
            seen = shares[..., :-1] @ values + shares[..., -1:] * value
            hidden = self.joined(block, hidden, seen)
            kept += [key, value]
        return (self.logits(hidden)[:, 0], *kept)


def product(layer: nn.Module, values: Tensor) -> Tensor:
    """transformers' Conv1D, whose own code takes the example's shape for the only one."""
    found: Tensor = values @ layer.weight + layer.bias
    return found


def parts(folder: Path) -> tuple[TorchPart, ...]:
    model = ImageGPTForCausalImageModeling.from_pretrained(folder, dtype=torch.float32).eval()
    config = model.config
    if config.add_cross_attention or config.reorder_and_upcast_attn:
        raise KernelError("an ImageGPT with cross attention or reordered attention is not written")
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    width = config.hidden_size // heads
    facts = {
        "layers": layers,
        "heads": heads,
        "head_width": width,
        "positions": config.max_position_embeddings,
        "vocabulary": config.vocab_size,
    }
    room = min(EXAMPLE_ROOM, config.max_position_embeddings)

    def text(batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.randint(config.vocab_size, (batch, room), generator=generator),)

    def step(batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        tokens = torch.randint(config.vocab_size, (batch,), generator=generator)
        cache = [
            torch.randn(batch, heads, *shape, generator=generator)
            for _ in range(layers)
            for shape in ((width, room), (room, width))
        ]
        return (tokens, torch.arange(batch) * 3 % room, *cache)

    grown = {names.KEYS: {0: "B", 3: "c"}, names.VALUES: {0: "B", 2: "c"}}
    new = {names.NEW_KEYS: ROWS, names.NEW_VALUES: ROWS}
    cache = {names.of_layer(name, i): grown[name] for i in range(layers) for name in grown}
    added = {names.of_layer(name, i): new[name] for i in range(layers) for name in new}
    reader = TorchPart(
        names.READER,
        Reader(model).eval(),
        {names.IDS: {0: "B", 1: "S"}},
        {names.LOGITS: {0: "B", 1: "S"}} | cache,
        text,
        facts,
    )
    writer = TorchPart(
        names.WRITER,
        Writer(model).eval(),
        {names.TOKENS: ROWS, names.PLACES: ROWS} | cache,
        {names.LOGITS: ROWS} | added,
        step,
        facts,
    )
    return reader, writer
