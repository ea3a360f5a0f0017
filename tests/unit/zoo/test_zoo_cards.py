"""The artefacts of this repository: whole, pinned by their cards, installed, and at work."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open

from bestiary.cli.zoo import recipes
from bestiary.garden import Garden, InstalledModel
from bestiary.garden.card import Family
from bestiary.garden.hf_folder import HfFolder
from bestiary.garden.image_folder import ImageFolder
from bestiary.profile.models import EncoderEngine as EncoderOptions
from bestiary.profile.models import Seq2SeqEngine as EngineOptions
from bestiary.progress import Silent
from bestiary.schemas.encoder import (
    ClassifyRequest,
    FillMaskRequest,
    NextSentenceRequest,
    TokenClassifyRequest,
)
from bestiary.schemas.seq2seq import Seq2SeqRequest
from deployments.encoder.batcher import BatcherLimits
from deployments.encoder.engine import EncoderEngine
from deployments.encoder.served import served_encoder
from deployments.encoder.service import EncoderService
from deployments.encoder.tokenization import load_tokenizer
from deployments.kernels.encoder import open_encoder
from deployments.kernels.seq2seq import open_seq2seq
from deployments.seq2seq.opening import service_of
from deployments.turn_loop import LoopLimits
from zoo.card_files import ZOO, served_files

BASE = "all-minilm-l6-v2"
TRANSLATORS = ("translator-gru", "translator-gru-attention", "translator-transformer")
MOST_MB = {"image": 60.0, "text": 30.0}  # of all weights of a kind together; they are committed
JUDGES = ("emoji-embedder",)  # no models that are served: part of others, and their judges


@pytest.fixture(scope="module")
def garden(installed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Garden:
    """An empty home whose base model is the one that is installed elsewhere."""
    home = tmp_path_factory.mktemp("home")
    base = Garden(installed_home).installed(BASE)
    card = base.card.model_dump(mode="json", exclude={"sources", "tolerance"})
    (home / "cards").mkdir()
    text = yaml.safe_dump(card | {"sources": [{"url": f"file://{base.path}"}]})
    (home / "cards" / f"{BASE}.yaml").write_text(text)
    return Garden(home)


def served() -> list[str]:
    return [model for model in recipes() if model not in JUDGES]


@pytest.mark.parametrize("model", served())
def test_every_recipe_has_an_artefact_that_its_card_pins(model: str) -> None:
    (source,) = Garden(Path("/nowhere")).card(model).sources
    assert source.url == f"zoo://{model}"
    assert dict(source.files) == served_files(ZOO / model)
    page = (ZOO / model / "README.md").read_text()
    assert "Held-out figures" in page
    assert (ZOO / model / "loss.png").stat().st_size > 5000


@pytest.mark.parametrize("model", served())
def test_card_says_what_is_installed(garden: Garden, model: str) -> None:
    installed = garden.install(model)
    if installed.card.family is Family.IMAGE:
        assert ImageFolder(installed.path).architecture == installed.card.architecture
        assert numbers_in(installed.path) == installed.card.parameters
        said = json.loads((ZOO / model / "figures.json").read_text())
        assert installed.card.image is not None
        assert installed.card.image.figures == said["headline"]
        assert said["parameters"] == installed.card.parameters
        return
    folder = HfFolder(installed.path)
    assert folder.architecture == installed.card.architecture
    assert folder.parameters == installed.card.parameters


def numbers_in(folder: Path) -> int:
    """In the networks: not in the VAE's prior, and not in a scorer beside the model."""
    beside = ("latent_prior.safetensors", "scorer/model.safetensors")
    files = (path for path in folder.rglob("*.safetensors"))
    count = 0
    for path in files:
        if str(path.relative_to(folder)) not in beside:
            with safe_open(path, framework="np") as tensors:
                shapes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118
            count += sum(math.prod(shape) for shape in shapes)
    return count


def test_artefacts_stay_small() -> None:
    taken = dict.fromkeys(MOST_MB, 0.0)
    for model in recipes():
        kind = "image" if model.startswith(("emoji-", "digits-")) else "text"
        files = (ZOO / model).rglob("*.safetensors")
        taken[kind] += sum(path.stat().st_size for path in files) / 1e6
    assert all(taken[kind] < most for kind, most in MOST_MB.items()), taken


@pytest.mark.parametrize("model", TRANSLATORS)
def test_engine_says_what_torch_said_when_it_was_exported(
    garden: Garden, tmp_path: Path, model: str
) -> None:
    samples = json.loads((ZOO / model / "samples.json").read_text())
    french = [one for one in samples if one["language"] == "fr"]
    outputs = asyncio.run(translated(garden.install(model), tmp_path, french))
    same = sum(out == one["output"] for out, one in zip(outputs, french, strict=True))
    assert same >= 0.9 * len(french)  # a near tie may fall the other way


async def translated(model: InstalledModel, home: Path, samples: list[dict[str, str]]) -> list[str]:
    options = EngineOptions(max_target_tokens=64)
    session = open_seq2seq(model, options, 1, home, Silent())
    service = service_of(model, session, options, LoopLimits(0.001, 64))
    service.start()
    try:
        inputs = tuple(one["source"] for one in samples)
        request = Seq2SeqRequest(
            request_id="r", task="translate", inputs=inputs, target_language="fr"
        )
        result = await service.generate(request)
    finally:
        await service.stop()
    return [one.text.strip() for one in result.outputs]


@asynccontextmanager
async def encoder(model: InstalledModel, home: Path) -> AsyncIterator[EncoderService]:
    """The platform's own service of an installed card."""
    options = EncoderOptions()
    opened = open_encoder(model, options, 1, home, Silent())
    service = EncoderService(
        load_tokenizer(model.path, model.card.context_length),
        EncoderEngine(opened, options.max_batch_tokens),
        served_encoder(model.card, opened.session),
        BatcherLimits(options.max_batch_tokens, options.max_wait_ms / 1e3, max_requests=8),
    )
    service.start()
    try:
        yield service
    finally:
        await service.stop()


async def test_masks_are_filled_and_neighbours_known(garden: Garden, tmp_path: Path) -> None:
    text = "If the argument is None, the default [MASK] is used."
    first = "The session is closed at the end of the block."
    pairs = (
        (first, "It cannot be used after that."),
        (first, "And the king went up to the house of the LORD with all his servants."),
    )
    async with encoder(garden.install("minilm-pretraining"), tmp_path) as service:
        filled = await service.fill_mask(FillMaskRequest(request_id="r", inputs=(text,)))
        judged = await service.next_sentence(NextSentenceRequest(request_id="r", pairs=pairs))
    assert "value" in [one.token for one in filled.candidates[0]]
    assert judged.probabilities[0] > judged.probabilities[1]


async def test_spam_and_ham_are_told_apart(garden: Garden, tmp_path: Path) -> None:
    texts = (
        "You have WON!!!\nClick here now to claim your free cash prize. 100% guaranteed, no risk,"
        " limited offer. To be removed from our mailing list reply with REMOVE.",
        "Re: patch for the parser\nI tried it on my box and the tests pass now. One nit: could"
        " you split the second hunk? I will merge it tomorrow then. Thanks, Tom",
    )
    async with encoder(garden.install("minilm-spam"), tmp_path) as service:
        result = await service.classify(ClassifyRequest(request_id="r", inputs=texts))
    assert [labels[0].label for labels in result.labels] == ["spam", "ham"]


async def test_code_names_are_found(garden: Garden, tmp_path: Path) -> None:
    text = "Returns the Session.execute result, or None if nothing is found."
    async with encoder(garden.install("minilm-code-spans"), tmp_path) as service:
        result = await service.token_classify(TokenClassifyRequest(request_id="r", inputs=(text,)))
    assert "Session.execute" in [text[one.start : one.end] for one in result.spans[0]]
