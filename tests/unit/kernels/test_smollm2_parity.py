"""The real SmolLM2-135M: fp32 says what transformers says, the others are within tolerance.

Slow: torch loads the model too (about a minute on two cores).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from bestiary.garden import Garden, InstalledModel
from bestiary.profile.models import TextEngine
from bestiary.progress import Silent
from deployments.kernels.certificate_file import decoder_builds
from deployments.kernels.decoder import open_decoder, prepare_decoder
from deployments.kernels.decoder_session import DecoderSession
from tests.unit.kernels.rows import decode, feed, reference

pytestmark = pytest.mark.slow

PROMPTS = (
    "What is the capital of France?",
    "Write a haiku about the sea.",
    "Explain in two sentences why the sky is blue.",
    "def fibonacci(n):",
)
NEW_TOKENS = 32
CLEAR_LEAD = 0.05  # of torch's first choice over its second, in probability
TEXT = """Lighthouses were built where ships had been lost. The first stood on islands and were
fires of wood, later of coal, in iron baskets that men refilled through the night. Oil lamps with
glass lenses followed, and the lens of Fresnel let one small flame be seen twenty miles away. A
keeper wound the clockwork that turned the lens, trimmed the wick every four hours, and wrote down
the weather. Families lived there for years and grew potatoes in the shelter of the walls. Storms
broke windows that were forty metres above the sea. When electric light came the keepers stayed to
watch the machines, and when the machines could watch themselves the keepers left. Today ships find
their way by satellites, and most of the towers are museums, hotels or empty. Some still burn, since
a satellite can fail and a light on a rock cannot be mistaken. Historians collect the log books,
because a line for every day over two hundred years says more about the climate than any model. In
one of them a keeper notes, between wind and rain, that his daughter learned to read; in another
that the supply boat was three weeks late and that they ate seaweed. What did people think who saw
the light from the water? Sailors said that they counted the seconds between two flashes, looked
into the almanac, and then knew exactly where on Earth they were: ten seconds, red and white, north
of the reef, keep west. It is a language with few words, but everybody who needed it could read it,
and nobody has ever had to translate it. Engineers who design networks today like to tell this
story, because a lighthouse sends one bit, never waits for an answer, and has no queue. The last
keeper of the rock, asked on the pier what he would miss, thought for a while and said: the noise of
the clockwork, which one hears only when it stops, and the birds that came in autumn, by thousands,
to rest on the rail before they flew on. """


@pytest.fixture(scope="module")
def model(installed_home: Path) -> InstalledModel:
    return Garden(installed_home).installed("smollm2-135m-instruct")


@pytest.fixture(scope="module")
def torch_model(model: InstalledModel) -> PreTrainedModel:
    loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32)
    return loaded.eval()


@pytest.fixture(scope="module")
def tokenizer(model: InstalledModel) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(model.path)
    return loaded


def _open(model: InstalledModel, home: Path, precision: str) -> DecoderSession:
    engine = TextEngine.model_validate({"precision": precision, "slots": 8, "context": 512})
    return open_decoder(model, engine, 0, home, Silent())


def _greedy(decoder: DecoderSession, prompt: list[int]) -> list[int]:
    logits, written = feed(decoder, 0, prompt), [0][:0]
    for step in range(NEW_TOKENS):
        written.append(int(logits.argmax()))
        logits = feed(decoder, 0, written[-1:], past=len(prompt) + step)
    return written


def test_full_precision_writes_what_transformers_writes(
    model: InstalledModel,
    torch_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tmp_path: Path,
) -> None:
    decoder = _open(model, tmp_path, "fp32")
    for prompt in PROMPTS:
        ids = tokenizer(prompt).input_ids
        expected = torch_model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=NEW_TOKENS,
            do_sample=False,
        )[0, len(ids) :].tolist()
        ends = set(np.atleast_1d(torch_model.generation_config.eos_token_id).tolist())
        written = _greedy(decoder, ids)
        until = next((i for i, token in enumerate(written) if token in ends), NEW_TOKENS)
        assert written[:until] == expected[:until]


@pytest.mark.parametrize("precision", ["int8", "q41fast", "w8a16"])
def test_what_is_nearly_lossless_is_within_tolerance_of_torch(
    model: InstalledModel,
    torch_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tmp_path: Path,
    precision: str,
) -> None:
    """Decoded token by token; certificates read the text as a prompt."""
    ids = tokenizer(TEXT).input_ids[:400]
    assert len(ids) == 400
    expected = _log_softmax(reference(torch_model, ids))
    decoder = _open(model, tmp_path, precision)
    found = _log_softmax(
        np.stack([feed(decoder, 0, ids[i : i + 1], past=i) for i in range(len(ids))])
    )
    divergence = float((np.exp(expected) * (expected - found)).sum(axis=-1).mean())
    agrees = expected.argmax(-1) == found.argmax(-1)
    best, second = np.exp(np.sort(expected)[:, :-3:-1]).T
    clear = best - second > CLEAR_LEAD
    print(
        f"KL {divergence:.5f}, top-1 agreement {agrees.mean():.4f}, "
        f"{agrees[clear].mean():.4f} of {clear.sum()} clear choices"
    )
    assert divergence <= 0.005
    assert agrees.mean() >= 0.95  # a sixth of this text are near ties
    assert agrees[clear].mean() >= 0.99


@pytest.mark.parametrize("precision", ["int8", "fp32", "q41fast", "w8a16", "w8row", "int4"])
def test_streams_in_a_batch_write_what_they_write_alone(
    model: InstalledModel, tokenizer: PreTrainedTokenizerBase, tmp_path: Path, precision: str
) -> None:
    decoder = _open(model, tmp_path, precision)
    prompts = [tokenizer(prompt).input_ids for prompt in (*PROMPTS, TEXT[:900])]
    alone = [_greedy(decoder, prompt) for prompt in prompts]
    written = [[int(feed(decoder, row, ids).argmax())] for row, ids in enumerate(prompts)]
    for step in range(NEW_TOKENS - 1):
        past = [len(ids) + step for ids in prompts]
        logits = decode(decoder, [ids[-1] for ids in written], past)
        for ids, row in zip(written, logits, strict=True):
            ids.append(int(row.argmax()))
    assert written == alone


@pytest.mark.parametrize("precision", ["fp32", "int8", "q41fast", "w8a16", "w8row", "int4"])
def test_every_build_is_certified_within_the_cards_tolerance(
    model: InstalledModel, certified_home: Path, precision: str
) -> None:
    engine = TextEngine.model_validate({"precision": precision})
    prepare_decoder(model, engine, certified_home, Silent())
    certificates = {
        build.precision: build.certificate
        for build in decoder_builds(certified_home, model.revision)
    }
    certificate = certificates[precision]
    assert certificate is not None
    assert certificate.parity is not None
    print(precision, certificate.parity, certificate.speed)
    assert 400 <= certificate.tokens <= 600
    if precision in ("int8", "q41fast", "w8a16"):
        assert certificate.parity.kl <= 0.005


@pytest.fixture(scope="module")
def certified_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all precisions: torch is asked once."""
    return tmp_path_factory.mktemp("certified")


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    normalised: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return normalised
