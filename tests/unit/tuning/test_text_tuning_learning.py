"""What the text tuners learn, measure, take back, save and go on with."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from bestiary.errors import InvalidRequest
from bestiary.garden import Garden, InstalledModel
from bestiary.schemas.text import ChatMessage
from bestiary.schemas.tuning import Lora, Method, PublishedKind
from deployments.kernels.adapter_files import read_adapter
from services.tuning.data.examples import Completion, PlainText, Preference
from services.tuning.trainers.text.opening import TUNERS, open_dpo, open_supervised
from services.tuning.trainers.tuner import Assignment, Tuner
from tests.unit.tuning.small_text_models import COUNTING, conversation, installed, job
from training.loop import Plan, train
from training.watching import Step, Unwatched

PREFERENCES = tuple(
    Preference((ChatMessage(role="user", content=f"{n}?"),), f"yes {n}", f"no {n}")
    for n in range(8)
)
TEXTS = tuple(PlainText(f"the sea is {word} and the sea is {word}") for word in ("old", "wide"))


@pytest.fixture
def base(tmp_path: Path) -> InstalledModel:
    return installed(tmp_path / "base")


def learned(work: Assignment, steps: int = 6) -> Tuner:
    tuner = TUNERS[work.spec.method](work)
    train(tuner.trainee, plan(steps), work.folder, resume=False)
    return tuner


@torch.no_grad()
def losses_of(tuner: Tuner) -> list[float]:
    """Of the first batches, before any step."""
    return [float(tuner.trainee.loss(batch)) for batch in range(3)]


def plan(steps: int = 6) -> Plan:
    return Plan(
        steps=steps,
        learning_rate=5e-3,
        warmup=1,
        seed=5,
        weight_decay=0.0,
        measure_every=3,
        checkpoint_every=2,
        bfloat16=False,
    )


class Losses(Unwatched):
    """Of every step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def stepped(self, step: Step) -> bool:
        self.seen.append(step.loss)
        return True


JOBS = {
    "supervised": (Method.SUPERVISED, COUNTING, {}),
    "chat": (Method.SUPERVISED, (conversation("a?", "yes b", "c?", "no d"),) * 2, {}),
    "full": (Method.SUPERVISED, COUNTING, {"full": True}),
    "not packed": (Method.SUPERVISED, COUNTING, {"packing": False}),
    "pretraining": (Method.CONTINUED_PRETRAINING, TEXTS, {}),
    "dpo": (Method.DPO, PREFERENCES, {}),
}


@pytest.mark.parametrize(("method", "examples", "options"), JOBS.values(), ids=JOBS)
def test_the_held_out_loss_falls_and_the_base_stays_within_reach(
    base: InstalledModel,
    tmp_path: Path,
    method: Method,
    examples: tuple[Completion, ...],
    options: dict[str, bool],
) -> None:
    work = job(base, tmp_path, examples, examples[:2], method=method, **options)
    tuner = TUNERS[method](work)
    before = tuner.evaluate()
    train(tuner.trainee, plan(8), tmp_path, resume=False)
    after = tuner.evaluate()
    assert after["loss"] < before["loss"]
    with tuner.as_base():
        assert tuner.evaluate() == before
    assert tuner.evaluate() == after


def test_general_text_shows_what_is_forgotten(base: InstalledModel, tmp_path: Path) -> None:
    """A model that knew nothing of general text knows less of it yet."""
    tuner = learned(job(base, tmp_path, full=True), steps=20)
    with tuner.as_base():
        before = tuner.general()
    after = tuner.general()
    assert before is not None
    assert after is not None
    assert 1 < before < after


@pytest.mark.parametrize(("method", "examples", "options"), JOBS.values(), ids=JOBS)
def test_a_resumed_run_has_the_losses_of_one_that_never_stopped(
    base: InstalledModel,
    tmp_path: Path,
    method: Method,
    examples: tuple[Completion, ...],
    options: dict[str, bool],
) -> None:
    work = job(base, tmp_path, examples, examples[:2], method=method, **options)
    straight, first, second = Losses(), Losses(), Losses()
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(TUNERS[method](work).trainee, plan(), whole, resume=False, watcher=straight)
    train(TUNERS[method](work).trainee, plan(), killed, resume=False, until=3, watcher=first)
    train(TUNERS[method](work).trainee, plan(), killed, resume=True, watcher=second)
    assert first.seen + second.seen == straight.seen


def test_packing_changes_no_loss(base: InstalledModel, tmp_path: Path) -> None:
    losses = []
    for packing in (True, False):
        work = job(base, tmp_path, packing=packing, lora=Lora(rank=4, dropout=0))
        losses.append(losses_of(open_supervised(work)))
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_tokens_of_a_batch_are_those_that_are_learned(base: InstalledModel, tmp_path: Path) -> None:
    work = job(base, tmp_path, (Completion("much longer", "yes"),) * 2, micro_batch_size=2)
    assert open_supervised(work).tokens_in(0) == 2 * (3 + 1)  # y, e, s and the end


def test_what_is_saved_is_read_by_replicas(base: InstalledModel, tmp_path: Path) -> None:
    tuner = learned(job(base, tmp_path))
    assert tuner.kind is PublishedKind.ADAPTER
    tuner.save(tmp_path / "adapter")
    adapter = read_adapter(tmp_path / "adapter")
    assert len(adapter) == 2 * 7  # layers, modules
    assert adapter["model.layers.1.mlp.down_proj"].down.shape == (4, 48)
    assert any(added.up.any() for added in adapter.values())
    stated = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert stated["base_model_name_or_path"] == "tiny"
    assert stated["target_modules"] == sorted(stated["target_modules"])


def test_convolutions_of_gpt2_are_adapted_too(tmp_path: Path) -> None:
    config = GPT2Config(vocab_size=300, n_embd=32, n_layer=1, n_head=4, n_positions=128)
    base = installed(tmp_path / "base", model=GPT2LMHeadModel(config))
    learned(job(base, tmp_path)).save(tmp_path / "adapter")
    names = {name.removeprefix("transformer.h.0.") for name in read_adapter(tmp_path / "adapter")}
    assert names == {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"}


def test_only_the_wanted_layers_are_adapted(base: InstalledModel, tmp_path: Path) -> None:
    tuner = learned(job(base, tmp_path, lora=Lora(rank=2, targets=("q_proj",))), steps=1)
    tuner.save(tmp_path / "adapter")
    assert {name.rpartition(".")[2] for name in read_adapter(tmp_path / "adapter")} == {"q_proj"}


def test_a_layer_that_is_not_there_is_named(base: InstalledModel, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no linear layer called 'c_attn'; it has down_proj"):
        open_supervised(job(base, tmp_path, lora=Lora(targets=("c_attn",))))


def test_all_weights_are_a_folder_that_the_garden_takes(
    base: InstalledModel, tmp_path: Path
) -> None:
    tuner = learned(job(base, tmp_path, full=True))
    assert tuner.kind is PublishedKind.MODEL
    tuner.save(tmp_path / "saved")
    garden = Garden(tmp_path / "home")
    card = garden.add(tmp_path / "saved", card_id="counting")
    model = garden.installed("counting")
    assert card.instruct
    assert card.parameters == base.card.parameters  # the head is the embedding still
    assert model.chat_template == base.chat_template
    again = AutoModelForCausalLM.from_pretrained(model.path).eval()
    torch.testing.assert_close(again.state_dict(), tuner.trainee.model.state_dict())


def test_supervised_answers_are_scored(base: InstalledModel, tmp_path: Path) -> None:
    """A model that was shown one answer over and over says it."""
    work = job(base, tmp_path, COUNTING[:1], COUNTING[:1], micro_batch_size=1, full=True)
    tuner = TUNERS[Method.SUPERVISED](work)
    assert tuner.evaluate()["exact_match"] == 0
    train(tuner.trainee, plan(40), tmp_path, resume=False)
    found = tuner.evaluate()
    assert found["exact_match"] == found["token_accuracy"] == 1
    assert found["rouge_l"] == pytest.approx(1)
    assert found["chrf"] == pytest.approx(100)
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]), rel=1e-3)


def test_dpo_raises_the_chosen_over_the_rejected(base: InstalledModel, tmp_path: Path) -> None:
    tuner = open_dpo(job(base, tmp_path, PREFERENCES, PREFERENCES[:4], method=Method.DPO))
    before = tuner.evaluate()
    assert before["loss"] == pytest.approx(math.log(2))
    assert (before["reward_margin"], before["preference_accuracy"]) == (0, 0.5)
    train(tuner.trainee, plan(12), tmp_path, resume=False)
    after = tuner.evaluate()
    assert after["preference_accuracy"] == 1
    assert after["reward_margin"] > 0.01


def test_dpo_with_all_weights_is_refused(base: InstalledModel, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="leave out `full`"):
        open_dpo(job(base, tmp_path, PREFERENCES, PREFERENCES, method=Method.DPO, full=True))


def test_nothing_to_learn_from_is_said(base: InstalledModel, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no example") as raised:
        open_supervised(job(base, tmp_path, held_out=()))
    assert raised.value.param == "validation_file"


def test_answers_that_are_all_too_long_are_said(base: InstalledModel, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="all 1 answers are too long: raise max_tokens"):
        open_supervised(job(base, tmp_path, [Completion("a", "b" * 100)]))
