"""How fast are embeddings beside sentence-transformers, torch and ONNX, on the same weights?

    python -m benchmarks.encoder [--peers /tmp/encoder-peers] [--rounds 3]

Texts in, vectors out, tokenising included: sentences/s one by one, in batches of 8 and 32, all
128 of mixed lengths in one call, and from 16 clients that send one text at a time (to ours as the
replica serves them, to peers a thread each), then through the whole stack over HTTP. `plain ORT`
is fastembed's way: ONNX Runtime on an exported file, padded to the longest of its batch. Every
contender has a process of its own; rounds are interleaved and medians count. Peers live in an
environment with sentence-transformers and optimum-onnx: --peers or BESTIARY_PEERS. Goals are
printed last; all of it is kept in `benchmarks/results/encoder.txt`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.encoder_clients import CLIENTS, Served, over_http, with_clients, with_threads

Embed = Callable[[Sequence[str], int], np.ndarray]  # texts, batch size -> [texts, width]
CARD = "all-minilm-l6-v2"
OURS = ("fp32", "bf16mix", "int8", "w8a16", "w8row")
IN_STACKS = ("fp32", "bf16mix")  # precisions that the whole stack is measured in
PEERS = ("st torch", "st onnx", "plain ORT")
SHAPES = {"batch 1": 1, "batch 8": 8, "batch 32": 32, "mixed": 128}
LARGEST = 32  # rows that peers put into one run, as their default is
RESULTS = Path(__file__).parent / "results"
STACK_PORT = 8931


class Asked(NamedTuple):
    """How a contender is asked: many texts at once, and by many clients."""

    embed: Embed
    clients: Callable[[Sequence[str]], Coroutine[None, None, Served]]


def ours(precision: str) -> Asked:
    from bestiary.garden import Garden
    from bestiary.profile.models import EncoderEngine as EngineOptions
    from bestiary.progress import Silent
    from bestiary.schemas.encoder import EmbeddingRequest
    from bestiary.settings import Settings
    from deployments.encoder.batcher import BatcherLimits
    from deployments.encoder.engine import EncoderEngine
    from deployments.encoder.heads import TextOutput
    from deployments.encoder.served import served_encoder
    from deployments.encoder.service import EncoderService
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

    async def clients(texts: Sequence[str]) -> Served:
        limits = BatcherLimits(options.max_batch_tokens, options.max_wait_ms / 1e3, 64)
        served = served_encoder(model.card, encoder.session)
        service = EncoderService(tokenizer, engine, served, limits)
        service.start()
        try:
            return await with_clients(
                lambda text: service.embed(EmbeddingRequest(request_id="r", inputs=(text,))), texts
            )
        finally:
            await service.stop()

    return Asked(embed, clients)


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


def peer(name: str, folder: str) -> Embed:
    if name == "plain ORT":
        return plain_ort(folder)
    return sentence_transformers(folder, name.split()[1])


def blocking(embed: Embed) -> Asked:
    return Asked(embed, lambda texts: with_threads(lambda text: embed([text], 1), texts))


def worker(name: str, folder: str) -> None:
    """Texts on the first line; then a shape a line in, sentences/s a line out; or `clients`."""
    texts = json.loads(sys.stdin.readline())
    asked = ours(name) if name in OURS else blocking(peer(name, folder))
    embed = asked.embed
    vectors = embed(texts, LARGEST)
    print("@" + json.dumps(np.asarray(vectors).tolist()), flush=True)
    for line in sys.stdin:
        if line.strip() == "clients":
            found = asyncio.run(asked.clients(texts))
            print("@" + json.dumps(found.values()), flush=True)
            continue
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

    def clients(self) -> Served:
        return Served(**self._ask("clients"))

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

    console = Console(record=True, width=110)
    folder = Garden(Settings().home).install(CARD).path
    with tempfile.TemporaryDirectory() as target:
        contenders = {
            name: Contender(name, Path(sys.executable), str(folder), SENTENCES)
            for name in allowed(console)
        }
        if options.peers:
            python = Path(options.peers) / "bin" / "python"
            exported(python, folder, Path(target))
            for name in PEERS:
                contenders[name] = Contender(name, python, target, SENTENCES)
        found = Figures(contenders, options.rounds)
        for one in contenders.values():
            one.process.kill()
            one.process.wait()
    stacks = {
        name: whole_stack_served(SENTENCES, options.rounds, name)
        for name in IN_STACKS
        if name in found.names
    }
    console.print(f"{os.cpu_count()} cores, medians of {options.rounds} rounds")
    show(found, stacks, console)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "encoder.txt").write_text(console.export_text())


def allowed(console: Console) -> list[str]:
    """Ours that are within their tolerance, built and certified; the others are said."""
    from bestiary.errors import KernelError
    from bestiary.garden import Garden
    from bestiary.profile.models import EncoderEngine
    from bestiary.progress import Silent
    from bestiary.settings import Settings
    from deployments.kernels.encoder import prepare_encoder_kernel

    home, names = Settings().home, []
    for name in OURS:
        engine = EncoderEngine.model_validate({"precision": name})
        try:
            prepare_encoder_kernel(Garden(home).install(CARD), engine, home, Silent())
            names.append(name)
        except KernelError as error:
            console.print(f"{name} is left out: {error.message}")
    return names


def certified() -> dict[str, tuple[float, float]]:
    """Mean and largest cosine error of each build's certificate."""
    from bestiary.garden import Garden
    from bestiary.settings import Settings
    from deployments.kernels.encoder_certificate_file import encoder_builds

    home = Settings().home
    builds = encoder_builds(home, Garden(home).install(CARD).revision)
    return {
        build.precision: (found.mean_cosine_error, found.max_cosine_error)
        for build in builds
        if build.certificate is not None and (found := build.certificate.parity) is not None
    }


def whole_stack_served(texts: Sequence[str], rounds: int, precision: str) -> Served:
    """The laptop profile, its encoder in `precision`."""
    from benchmarks.load import Target
    from benchmarks.text.contenders import CHECKOUT, whole_stack
    from bestiary.settings import Settings

    profile = yaml.safe_load((CHECKOUT / "profiles" / "laptop.yaml").read_text("utf-8"))
    profile["deployments"][profile["embedding"]]["encoder"]["precision"] = precision
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "laptop.yaml"
        written.write_text(yaml.safe_dump(profile), "utf-8")
        with whole_stack(STACK_PORT, Settings().home, written):
            key = (Settings().home / "key").read_text().strip()
            target = Target("stack", "127.0.0.1", STACK_PORT, key)
            asyncio.run(over_http(target, CARD, texts))  # warm-up
            return middle([asyncio.run(over_http(target, CARD, texts)) for _ in range(rounds)])


def middle(found: Sequence[Served]) -> Served:
    medians = {
        name: statistics.median(one.values()[name] for one in found) for name in found[0].values()
    }
    return Served(**medians)


class Figures:
    """Medians of interleaved rounds."""

    def __init__(self, contenders: dict[str, Contender], rounds: int) -> None:
        speeds: dict[tuple[str, str], list[float]] = {}
        served: dict[str, list[Served]] = {}
        for _ in range(rounds):
            for shape, size in SHAPES.items():
                for name, one in contenders.items():
                    speeds.setdefault((name, shape), []).append(one.speed(size))
            for name, one in contenders.items():
                served.setdefault(name, []).append(one.clients())
        exact = contenders.get("st torch", contenders["fp32"]).vectors
        self.names = list(contenders)
        self.speed = {key: statistics.median(found) for key, found in speeds.items()}
        self.served = {name: middle(found) for name, found in served.items()}
        self.cosine = {
            name: float((one.vectors * exact).sum(1).mean()) for name, one in contenders.items()
        }


def show(found: Figures, stacks: Mapping[str, Served], console: Console) -> None:
    """`stacks`: the whole stack by precision."""
    table = Table("sentences/s", *SHAPES, "mean cosine", "certificate: mean, max error")
    errors = certified()
    for name in found.names:
        cells = (f"{found.speed[name, shape]:.0f}" for shape in SHAPES)
        error = "{:.1e}, {:.1e}".format(*errors[name]) if name in errors else ""
        table.add_row(name, *cells, f"{found.cosine[name]:.5f}", error)
    console.print(table)
    clients = Table(f"{CLIENTS} clients", "sentences/s", "p50 ms", "p99 ms")
    whole = {f"whole stack, {name}": one for name, one in stacks.items()}
    for name, one in (found.served | whole).items():
        clients.add_row(name, f"{one.per_s:.0f}", f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}")
    console.print(clients)
    for name, one in stacks.items():
        ratio = one.per_s / found.served[name].per_s
        console.print(f"goal whole stack 0.85 x engine at {CLIENTS} clients, {name}: {ratio:.2f}")
    if "st torch" not in found.names:
        console.print("no peers: the other goals were not judged")
        return
    best = max(found.speed[name, "mixed"] for name in PEERS)
    ratio = found.speed["fp32", "mixed"] / best
    console.print(f"goal 1.3 x the best peer, mixed, fp32: {ratio:.2f}")
    for name in found.names:
        if name in OURS[1:]:
            ratio = found.speed[name, "mixed"] / found.speed["st torch", "mixed"]
            said = f"{ratio:.2f} at cosine {found.cosine[name]:.5f}"
            console.print(f"goal 2 x torch fp32, mixed, {name}: {said}")


if __name__ == "__main__":
    main()
