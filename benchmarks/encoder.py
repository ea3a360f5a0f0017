"""How fast are embeddings beside sentence-transformers, torch and ONNX, on the same weights?

    python -m benchmarks.encoder [--peers /tmp/encoder-peers] [--rounds 3]

Texts in, vectors out, tokenising included: sentences/s one by one, in batches of 8 and 32, and
all 128 of mixed lengths in one call. `plain ORT` is fastembed's way: ONNX Runtime on an exported
file, padded to the longest of its batch. Every contender has a process of its own; rounds are
interleaved and medians count. Peers live in an environment with sentence-transformers and
optimum-onnx: --peers or BESTIARY_PEERS. Goals are printed last.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

Embed = Callable[[Sequence[str], int], np.ndarray]  # texts, batch size -> [texts, width]
CARD = "all-minilm-l6-v2"
OURS = ("fp32", "int8", "w8a16", "w8row")
PEERS = ("st torch", "st onnx", "plain ORT")
SHAPES = {"batch 1": 1, "batch 8": 8, "batch 32": 32, "mixed": 128}
LARGEST = 32  # rows that peers put into one run, as their default is


def our_embed(precision: str) -> Embed:
    from bestiary.garden import Garden
    from bestiary.profile.models import EncoderEngine as EngineOptions
    from bestiary.progress import Silent
    from bestiary.settings import Settings
    from deployments.encoder.engine import EncoderEngine
    from deployments.encoder.heads import TextOutput
    from deployments.encoder.tokenization import load_tokenizer
    from deployments.kernels.encoder import open_encoder

    model = Garden(Settings().home).install(CARD)
    options = EngineOptions.model_validate({"precision": precision})
    encoder = open_encoder(model, options, 0, Settings().home, Silent())
    engine = EncoderEngine(encoder, options.max_batch_tokens)
    tokenizer = load_tokenizer(model.path, model.card.context_length)
    head = TextOutput(encoder.session.pooling)

    def embed(texts: Sequence[str], size: int) -> np.ndarray:
        return np.stack(engine.run(head, [one.text for one in tokenizer.encode(texts, True)]))

    return embed


def sentence_transformers(folder: str, backend: str) -> Embed:
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]  # peers

    model = SentenceTransformer(folder, backend=backend, device="cpu")
    return lambda texts, size: model.encode(
        list(texts), batch_size=min(size, LARGEST), normalize_embeddings=True
    )


def plain_ort(folder: str) -> Embed:
    import onnxruntime as ort
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.enable_padding()
    tokenizer.enable_truncation(256)
    path = f"{folder}/onnx/model.onnx"
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = {one.name for one in session.get_inputs()}

    def run(texts: Sequence[str]) -> np.ndarray:
        encoded = tokenizer.encode_batch(list(texts))
        mask = np.array([one.attention_mask for one in encoded])
        feed = {
            "input_ids": np.array([one.ids for one in encoded]),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        hidden = session.run(None, {k: v for k, v in feed.items() if k in wanted})[0]
        summed = (hidden * mask[..., None]).sum(axis=1)
        unit: np.ndarray = summed / np.linalg.norm(summed, axis=1, keepdims=True)
        return unit

    def embed(texts: Sequence[str], size: int) -> np.ndarray:
        step = min(size, LARGEST)
        parts = [run(texts[at : at + step]) for at in range(0, len(texts), step)]
        return np.concatenate(parts)

    return embed


def worker(name: str, folder: str) -> None:
    """Texts on the first line; then a shape a line in, sentences/s a line out."""
    texts = json.loads(sys.stdin.readline())
    if name in OURS:
        embed = our_embed(name)
    elif name == "plain ORT":
        embed = plain_ort(folder)
    else:
        embed = sentence_transformers(folder, name.split()[1])
    vectors = embed(texts, LARGEST)
    print("@" + json.dumps(np.asarray(vectors).tolist()), flush=True)
    for line in sys.stdin:
        size = int(line)
        started = time.perf_counter()
        for at in range(0, len(texts), size):
            embed(texts[at : at + size], size)
        print("@" + json.dumps(len(texts) / (time.perf_counter() - started)), flush=True)


class Contender:
    """A process that embeds; only one of them is asked at a time."""

    def __init__(self, name: str, python: Path, folder: str, texts: Sequence[str]) -> None:
        command = [str(python), "-m", "benchmarks.encoder", "--worker", name, "--folder", folder]
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.vectors = np.array(self._ask(json.dumps(texts)))

    def speed(self, size: int) -> float:
        return float(self._ask(str(size)))

    def _ask(self, line: str):  # type: ignore[no-untyped-def]  # whatever the worker says
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        for said in self.process.stdout:
            if said.startswith("@"):
                return json.loads(said[1:])
        raise RuntimeError("a contender ended: see what it wrote to stderr")


def exported(peers: Path, folder: Path, target: Path) -> None:
    """Links to the model's files, and its ONNX export by optimum beside them."""
    for path in folder.iterdir():
        (target / path.name).symlink_to(path)
    code = (
        "import sys; from optimum.onnxruntime import ORTModelForFeatureExtraction as M; "
        "M.from_pretrained(sys.argv[1], export=True).save_pretrained(sys.argv[1] + '/onnx')"
    )
    subprocess.run([str(peers), "-c", code, str(target)], check=True, timeout=600)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", type=Path, default=os.environ.get("BESTIARY_PEERS"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker")
    parser.add_argument("--folder", default="")
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.folder)
        return
    from benchmarks.encoder_kernels import SENTENCES
    from bestiary.garden import Garden
    from bestiary.settings import Settings

    folder = Garden(Settings().home).install(CARD).path
    with tempfile.TemporaryDirectory() as target:
        contenders = {
            name: Contender(name, Path(sys.executable), str(folder), SENTENCES) for name in OURS
        }
        if options.peers:
            python = Path(options.peers) / "bin" / "python"
            exported(python, folder, Path(target))
            for name in PEERS:
                contenders[name] = Contender(name, python, target, SENTENCES)
        measure(contenders, options.rounds)
        for one in contenders.values():
            one.process.kill()
            one.process.wait()


def measure(contenders: dict[str, Contender], rounds: int) -> None:
    speeds: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for shape, size in SHAPES.items():
            for name, one in contenders.items():
                speeds.setdefault((name, shape), []).append(one.speed(size))
    median = {key: statistics.median(found) for key, found in speeds.items()}
    exact = contenders.get("st torch", contenders["fp32"]).vectors
    cosine = {name: float((one.vectors * exact).sum(1).mean()) for name, one in contenders.items()}
    table = Table("", *SHAPES, "mean cosine", title="sentences/s, medians")
    for name in contenders:
        cells = (f"{median[name, shape]:.0f}" for shape in SHAPES)
        table.add_row(name, *cells, f"{cosine[name]:.5f}")
    console = Console()
    console.print(table)
    if "st torch" not in contenders:
        console.print("no peers: goals were not judged")
        return
    best = max(median[name, "mixed"] for name in PEERS)
    console.print(f"goal 1.3 x the best peer, mixed, fp32: {median['fp32', 'mixed'] / best:.2f}")
    for name in OURS[1:]:
        ratio = median[name, "mixed"] / median["st torch", "mixed"]
        console.print(f"goal 2 x torch fp32, {name}: {ratio:.2f} at cosine {cosine[name]:.5f}")
    console.print("goal stack >= 0.85 x engine at 16 clients: not measured by this script yet")


if __name__ == "__main__":
    main()
