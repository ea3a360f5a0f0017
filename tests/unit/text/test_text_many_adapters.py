"""64 adapters that take turns in 8 slots: under load everyone hears their own, whole or not at all.

The reference is torch: each adapter merged by peft into the model, which then answers alone.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import warnings
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from small_engine import POSITIONS, TOKENIZER, VOCABULARY, small_llama
from transformers import LlamaForCausalLM

from bestiary.errors import BestiaryError, EngineFailure, KernelError
from bestiary.schemas.text import Adapter, Sampling, TextRequest
from deployments.kernels.adapter_memory import AdapterLimits, HostAdapters, adapter_shape
from deployments.kernels.adapters import AdapterBank
from deployments.kernels.decoder_build import Writing, build_decoder
from deployments.kernels.decoder_session import DecoderSession, pool_shape
from deployments.kernels.kv_pool import HostPool
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import CPU_ONLY
from deployments.kernels.sessions import SessionSettings, open_session
from deployments.text.adapter_line import AdapterLine
from deployments.text.engine import Engine, EngineOptions
from deployments.text.intake import Intake
from deployments.text.loop import EngineLoop
from deployments.text.service import TextService

ADAPTERS, SLOTS, ROWS, RANK = 64, 8, 16, 4
NEW_TOKENS = 10
MARGIN = 2e-3  # of a choice; the kernels' logits are within 3e-4 of torch's
BASE = "base"
PROMPTS = ((7, 8, 9), tuple(range(40, 64)))  # the second one takes several chunks
MOST_WAITING = 200

Tokens = tuple[int, ...]
Asked = tuple[str, int]  # whose answer, to which prompt


class BreakingMemory(HostAdapters):
    """Breaks off in the middle of the next load, where it is told to."""

    breaks = False

    def write(self, slot: int, name: str, values: np.ndarray) -> None:
        if self.breaks and name == list(self.shape.inputs)[-1]:
            self.breaks = False
            raise OSError("the device is gone")
        super().write(slot, name, values)


@dataclass(frozen=True)
class Zoo:
    folder: Path
    decoder: DecoderSession
    memory: BreakingMemory
    names: tuple[str, ...]
    alone: dict[Asked, Tokens]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    folder = tmp_path_factory.mktemp("many-adapters")
    model = small_llama()
    model.save_pretrained(folder / "checkpoint")
    build_decoder(folder / "checkpoint", folder, "fp32", Writing(POSITIONS, adapters=True))
    session = open_session(folder / GRAPH_FILE, CPU_ONLY, SessionSettings(threads=1, spin=False))
    memory = BreakingMemory(adapter_shape(session, AdapterLimits(SLOTS, RANK)))
    pool = HostPool(pool_shape(session, ROWS, POSITIONS))
    alone = answers_of(BASE, model)
    assert alone, "the base needs other prompts"
    names = tuple(f"adapter-{number:02}" for number in range(ADAPTERS))
    for answers in made_adapters(model, names, folder):
        alone |= answers
    return Zoo(folder, DecoderSession(session, pool, adapters=memory), memory, names, alone)


def made_adapters(
    model: LlamaForCausalLM, names: Sequence[str], folder: Path
) -> Iterator[dict[Asked, Tokens]]:
    """Saves them, and gives what `model` says with each of them merged into it."""
    with warnings.catch_warnings():
        # peft 0.21 asks transformers 5.23 for a property under its old name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        from peft import LoraConfig, get_peft_model

        chosen = LoraConfig(
            r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        adapted = get_peft_model(model, chosen)
    lora = [values for name, values in adapted.named_parameters() if "lora_" in name]
    generator = torch.Generator().manual_seed(0)
    for name in names:
        answers: dict[Asked, Tokens] = {}
        while not answers:  # one that nearly ties anywhere is drawn again
            with torch.no_grad():
                for values in lora:
                    values.normal_(std=0.15, generator=generator)
            adapted.merge_adapter()
            answers = answers_of(name, model)
            adapted.unmerge_adapter()
        adapted.save_pretrained(folder / name)
        yield answers


def answers_of(name: str, model: LlamaForCausalLM) -> dict[Asked, Tokens]:
    """To every prompt; empty where a choice is so near a tie that another order of sums turns it"""
    found: dict[Asked, Tokens] = {}
    for number, prompt in enumerate(PROMPTS):
        ids = list(prompt)
        for _ in range(NEW_TOKENS):
            with torch.no_grad():
                best = model(torch.tensor([ids])).logits[0, -1].topk(2)
            if best.values[0] - best.values[1] < MARGIN:
                return {}
            ids.append(int(best.indices[0]))
        found[name, number] = tuple(ids[len(prompt) :])
    return found


@dataclass(frozen=True)
class Serving:
    zoo: Zoo
    service: TextService
    bank: AdapterBank

    async def says(self, asked: Asked) -> Tokens:
        name, prompt = asked
        adapter = None if name == BASE else Adapter(name=name, folder=self.zoo.folder / name)
        request = TextRequest(
            request_id="r",
            token_ids=PROMPTS[prompt],
            sampling=Sampling(temperature=0, max_tokens=NEW_TOKENS),
            adapter=adapter,
        )
        stream = self.service.generate(request)
        return tuple([one async for chunks in stream for c in chunks for one in c.token_ids])

    async def all_say(self, asked: Sequence[Asked]) -> list[Tokens | BestiaryError]:
        """At once. Errors that are not typed end the test."""

        async def heard(one: Asked) -> Tokens | BestiaryError:
            try:
                return await self.says(one)
            except BestiaryError as error:
                return error

        return await asyncio.gather(*(heard(one) for one in asked))

    def assert_rests(self) -> None:
        """Nobody has a slot, and no slot was lost."""
        counts, load = self.bank.counts, self.service.load()
        assert (counts.leased, load.running, load.waiting) == (0, 0, 0)
        assert counts.loads - counts.evictions == counts.resident <= SLOTS


@pytest.fixture
async def serving(zoo: Zoo) -> AsyncIterator[Serving]:
    options = EngineOptions(prefill_chunk=16, max_waiting=MOST_WAITING, prefix_cache_bytes=2**20)
    engine = Engine(zoo.decoder, TOKENIZER, frozenset(), options)
    bank = AdapterBank(zoo.memory)
    intake = Intake(TOKENIZER, None, POSITIONS, VOCABULARY)
    line = AdapterLine(bank, MOST_WAITING)
    service = TextService(intake, EngineLoop(engine, MOST_WAITING), adapters=line)
    yield Serving(zoo, service, bank)
    await service.close()


@contextmanager
def damaged(folder: Path, kept: Path) -> Iterator[None]:
    """Its weights end too soon."""
    weights = folder / "adapter_model.safetensors"
    shutil.copy(weights, kept)
    weights.write_bytes(weights.read_bytes()[:-100])
    yield
    shutil.copy(kept, weights)


def crowd(zoo: Zoo, seed: int, but: str = "") -> list[Asked]:
    """All adapters and as many times the base as fits, to either prompt, in random order."""
    chance = random.Random(seed)
    names = [name for name in zoo.names if name != but] + [BASE] * SLOTS
    asked = [(name, chance.randrange(len(PROMPTS))) for name in names]
    chance.shuffle(asked)
    return asked


def test_every_adapter_says_something_else(zoo: Zoo) -> None:
    """Else a mix-up would not show."""
    assert len(zoo.names) == ADAPTERS
    assert len(set(zoo.alone.values())) == len(PROMPTS) * (ADAPTERS + 1)


async def test_under_load_every_answer_is_what_the_merged_model_says_alone(
    serving: Serving, zoo: Zoo
) -> None:
    for seed in range(3):
        asked = crowd(zoo, seed)
        assert await serving.all_say(asked) == [zoo.alone[one] for one in asked]
        serving.assert_rests()
    counts = serving.bank.counts
    assert counts.resident == SLOTS
    assert counts.evictions >= 3 * (ADAPTERS - SLOTS) - SLOTS


async def test_a_few_busy_adapters_are_loaded_once_and_quiet_ones_come_between(
    serving: Serving, zoo: Zoo
) -> None:
    chance = random.Random(5)
    busy, quiet = zoo.names[: SLOTS - 1], zoo.names[SLOTS : SLOTS + 5]
    asked = [(chance.choice(busy), 1) for _ in range(60)] + [(name, 0) for name in quiet]
    chance.shuffle(asked)
    assert await serving.all_say(asked) == [zoo.alone[one] for one in asked]
    serving.assert_rests()
    assert serving.bank.counts.loads < 3 * (len(busy) + len(quiet))


async def test_a_damaged_adapter_is_refused_and_the_others_are_right(
    serving: Serving, zoo: Zoo, tmp_path: Path
) -> None:
    bad = zoo.names[20]
    asked = [*crowd(zoo, 11, but=bad), (bad, 0), (bad, 1)]
    random.Random(12).shuffle(asked)
    with damaged(zoo.folder / bad, tmp_path / "kept"):
        heard = await serving.all_say(asked)
    for one, found in zip(asked, heard, strict=True):
        if one[0] == bad:
            assert isinstance(found, KernelError)
        else:
            assert found == zoo.alone[one]
    assert bad not in serving.bank.resident
    serving.assert_rests()
    assert await serving.says((bad, 1)) == zoo.alone[bad, 1]  # once it is whole


async def test_a_load_that_breaks_off_half_way_is_nobodys_answer(
    serving: Serving, zoo: Zoo
) -> None:
    await serving.all_say(crowd(zoo, 21))  # every slot holds something
    zoo.memory.breaks = True
    asked = crowd(zoo, 22)
    heard = await serving.all_say(asked)
    broken = [one for one, found in zip(asked, heard, strict=True) if found != zoo.alone[one]]
    assert len(broken) == 1
    assert isinstance(heard[asked.index(broken[0])], EngineFailure)
    serving.assert_rests()
    assert await serving.says(broken[0]) == zoo.alone[broken[0]]


async def test_callers_that_go_away_leave_their_slots_to_the_others(
    serving: Serving, zoo: Zoo
) -> None:
    asked = crowd(zoo, 31)
    leaving = [asyncio.create_task(serving.says(one)) for one in asked]
    staying = asyncio.create_task(serving.all_say(asked))
    for place, task in enumerate(leaving):  # some wait, some run, some are done
        if place % 8 == 0:
            await asyncio.sleep(0.01)
        task.cancel()
    assert await staying == [zoo.alone[one] for one in asked]
    await asyncio.gather(*leaving, return_exceptions=True)
    async with asyncio.timeout(10):
        while serving.service.load().running:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)
    serving.assert_rests()
