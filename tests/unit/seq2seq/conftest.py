"""A small translator that speaks words, as a service: the whole path but for Ray."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from bestiary.garden import InstalledModel
from bestiary.garden.card import Family, ModelCard, Source
from bestiary.garden.tasks import Task
from bestiary.profile.models import Seq2SeqEngine as EngineOptions
from deployments.kernels.seq2seq_session import Seq2SeqSession
from deployments.seq2seq.opening import service_of
from deployments.seq2seq.service import Seq2SeqService
from deployments.turn_loop import LoopLimits
from tests.unit.kernels.small_seq2seqs import LONGEST, VOCABULARY, lively, opened

Start = Callable[..., Seq2SeqService]


def words(end: int, pad: int) -> Tokenizer:
    """One token a word: `w7` is 7. No special token is put anywhere."""
    names = {f"w{number}": number for number in range(VOCABULARY)}
    tokenizer = Tokenizer(WordLevel(names, unk_token="w5"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens([f"w{end}", f"w{pad}"])
    tokenizer.enable_truncation(4)  # which has to be switched off
    return tokenizer


@pytest.fixture(scope="session")
def translator(tmp_path_factory: pytest.TempPathFactory) -> tuple[InstalledModel, Seq2SeqSession]:
    folder = tmp_path_factory.mktemp("translator")
    model = lively("bart", folder)
    config = json.loads((folder / "config.json").read_text())
    prefixed = {"translation_en_to_fr": {"prefix": "w9 ", "num_beams": 3}}
    (folder / "config.json").write_text(json.dumps(config | {"task_specific_params": prefixed}))
    words(model.config.eos_token_id, 1).save(str(folder / "tokenizer.json"))
    card = ModelCard(
        id="small-translator",
        family=Family.SEQ2SEQ,
        architecture="BartForConditionalGeneration",
        title="small",
        tasks=(Task.TRANSLATE,),
        languages=("en-fr", "en-de"),
        parameters=1000,
        context_length=40,
        license="none",
        provenance="random",
        sources=(Source(url=folder.as_uri()),),
    )
    installed = InstalledModel(card=card, path=folder, revision="0" * 64)
    assert card.context_length < LONGEST
    return installed, opened(folder, tmp_path_factory.mktemp("build"))


@pytest.fixture
async def start(
    translator: tuple[InstalledModel, Seq2SeqSession],
) -> AsyncIterator[Start]:
    """Services of it, stopped at the end. `max_requests` and the engine's options."""
    started: list[Seq2SeqService] = []

    def one(max_requests: int = 16, **options: object) -> Seq2SeqService:
        engine = EngineOptions(**{"slots": 8} | options)  # type: ignore[arg-type]
        service = service_of(*translator, engine, LoopLimits(0.001, max_requests))
        service.start()
        started.append(service)
        return service

    yield one
    for service in started:
        await service.stop()
