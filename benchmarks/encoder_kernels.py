"""How fast is the encoder engine itself, and how close to torch? Serve left out.

    python -m benchmarks.encoder_kernels [--card all-minilm-l6-v2] [--rounds 3]

Prints sentences/s one by one and in batches of 32 for torch fp32 and for our builds, on the
same sentences of mixed lengths, and the smallest cosine to torch. The best of interleaved
rounds counts, because the machine may be shared.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from transformers import AutoModel

from bestiary.garden import Garden, InstalledModel
from bestiary.profile.models import EncoderEngine as EngineOptions
from bestiary.progress import Silent
from bestiary.settings import Settings
from deployments.encoder.engine import EncoderEngine
from deployments.encoder.heads import TextOutput
from deployments.encoder.tokenization import load_tokenizer
from deployments.kernels.encoder import open_encoder
from deployments.kernels.encoder_names import Output
from deployments.kernels.encoder_session import EncoderText

BATCHES = (1, 32)
SUBJECTS = ("A man", "The stock market", "Her youngest sister", "An old lighthouse keeper")
DEEDS = ("plays the guitar", "fell sharply", "wrote down the weather", "sleeps")
ENDS = (
    ".",
    " in the evening, when the shops are closed.",
    ", although nobody had asked for it and the whole town was watching from the windows.",
    " because two hundred years of log books, one line for every single day, say more about the"
    " climate of this coast than any model that was ever computed.",
)
SENTENCES = [f"{who} {does}{end}" for who in SUBJECTS for does in DEEDS for end in ENDS] * 2

Ids = tuple[int, ...]
Embed = Callable[[Sequence[Ids]], NDArray[np.float32]]


def torch_embed(model: InstalledModel) -> Embed:
    network = AutoModel.from_pretrained(model.path).eval()

    def embed(inputs: Sequence[Ids]) -> NDArray[np.float32]:
        longest = max(map(len, inputs))
        ids = torch.tensor([[*one, *[0] * (longest - len(one))] for one in inputs])
        mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in inputs])
        with torch.inference_mode():
            hidden = network(ids, attention_mask=mask).last_hidden_state
        summed = (hidden * mask[..., None]).sum(dim=1)
        vectors: NDArray[np.float32] = torch.nn.functional.normalize(summed, dim=1).numpy()
        return vectors

    return embed


def our_embed(model: InstalledModel, precision: str) -> Embed:
    options = EngineOptions.model_validate({"precision": precision})
    encoder = open_encoder(model, options, 0, Settings().home, Silent())
    engine, head = EncoderEngine(encoder, options.max_batch_tokens), TextOutput(Output.MEAN)
    return lambda inputs: np.stack(engine.run(head, [EncoderText(ids) for ids in inputs]))


def sentences_per_second(embed: Embed, inputs: Sequence[Ids], batch: int) -> float:
    started = time.perf_counter()
    for start in range(0, len(inputs), batch):
        embed(inputs[start : start + batch])
    return len(inputs) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--card", default="all-minilm-l6-v2")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    model = Garden(Settings().home).install(options.card)
    tokenizer = load_tokenizer(model.path, model.card.context_length)
    inputs = [one.ids for one in tokenizer.encode(SENTENCES, truncate=True)]
    engines = {
        "torch fp32": torch_embed(model),
        "fp32": our_embed(model, "fp32"),
        "int8": our_embed(model, "int8"),
        "w8a16": our_embed(model, "w8a16"),
        "w8row": our_embed(model, "w8row"),
    }
    reference = engines["torch fp32"](inputs)
    best: dict[tuple[str, int], float] = {}
    for _ in range(options.rounds):
        for name, embed in engines.items():
            for batch in BATCHES:
                speed = sentences_per_second(embed, inputs, batch)
                best[name, batch] = max(speed, best.get((name, batch), 0.0))
    table = Table("", *(f"batch {batch}" for batch in BATCHES), "min cosine", title="sentences/s")
    for name, embed in engines.items():
        cosine = float((embed(inputs) * reference).sum(axis=1).min())
        table.add_row(name, *(f"{best[name, batch]:.0f}" for batch in BATCHES), f"{cosine:.6f}")
    Console().print(table)


if __name__ == "__main__":
    main()
