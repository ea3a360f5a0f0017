"""A small model learns from another one: from its answers, or from its logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from bestiary.errors import InvalidRequest, Superseded
from bestiary.garden import InstalledModel
from bestiary.schemas.tuning import Method
from services.tuning.data.examples import Completion, PlainText
from services.tuning.trainers.text.answering import greedy_answers
from services.tuning.trainers.text.chat import TokenWriter
from services.tuning.trainers.text.losses import divergence
from services.tuning.trainers.text.opening import open_distillation
from services.tuning.trainers.text.teacher_answers import ANSWERS_FILE, TeacherAnswers
from services.tuning.trainers.text.tuned_model import opened
from services.tuning.trainers.tuner import nobody
from tests.unit.tuning.small_text_models import COUNTING, conversation, installed, job
from training.loop import Plan, train

PROMPTS = ["one", "two and more", "three", "a fourth one"]


@pytest.fixture
def base(tmp_path: Path) -> InstalledModel:
    return installed(tmp_path / "base")


@pytest.fixture
def teacher(tmp_path: Path) -> InstalledModel:
    return eager_to_end(installed(tmp_path / "teacher", seed=2, name="teacher"))


def eager_to_end(model: InstalledModel) -> InstalledModel:
    """Its random answers end soon: the end token's row is nearer to whatever it thinks."""
    writer = TokenWriter(model)
    weights = LlamaForCausalLM.from_pretrained(model.path)
    with torch.no_grad():
        weights.get_input_embeddings().weight[writer.end_id] *= 2.5
    weights.save_pretrained(model.path)
    return model


def answers(
    teacher: InstalledModel, folder: Path, tell: Callable[[str], None] = nobody
) -> TeacherAnswers:
    return TeacherAnswers(teacher, folder, 60, "cpu", tell)


def test_answers_of_a_batch_are_those_of_its_prompts_alone(teacher: InstalledModel) -> None:
    model, writer = opened(teacher), TokenWriter(teacher)
    prompts = [writer.encode(prompt, as_prompt=True) for prompt in PROMPTS]
    together = greedy_answers(model, prompts, writer.end_ids, 30)
    alone = [greedy_answers(model, [prompt], writer.end_ids, 30)[0] for prompt in prompts]
    assert together == alone
    assert len({answer.ids for answer in together}) > 1


def test_answers_are_written_once(teacher: InstalledModel, tmp_path: Path) -> None:
    first = answers(teacher, tmp_path).to(PROMPTS)
    (teacher.path / "model.safetensors").unlink()  # it is not needed any more
    assert answers(teacher, tmp_path).to(PROMPTS[::-1]) == first[::-1]


def test_a_kill_keeps_the_finished_answers(teacher: InstalledModel, tmp_path: Path) -> None:
    whole = answers(teacher, tmp_path).to(PROMPTS)
    file = tmp_path / ANSWERS_FILE
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:2]) + lines[2][:9])
    assert answers(teacher, tmp_path).to(PROMPTS) == whole
    assert file.read_bytes().splitlines(keepends=True)[:2] == lines[:2]
    assert len(file.read_bytes().splitlines()) == len(PROMPTS)


def test_a_job_that_is_to_stop_stops_the_teacher_too_and_keeps_what_it_wrote(
    teacher: InstalledModel, tmp_path: Path
) -> None:
    many = [f"{prompt}{number}" for number in range(4) for prompt in PROMPTS]

    def refuse(message: str) -> None:
        raise Superseded(message)

    with pytest.raises(Superseded, match=f"teacher wrote 8 of {len(many)} answers"):
        answers(teacher, tmp_path, refuse).to(many)
    assert len((tmp_path / ANSWERS_FILE).read_bytes().splitlines()) == 8


def test_the_student_learns_to_answer_as_the_teacher(
    base: InstalledModel, teacher: InstalledModel, tmp_path: Path
) -> None:
    examples = [conversation("a?", "never read"), Completion("b", "nor this"), PlainText("c?")]
    work = job(base, tmp_path, examples, examples, method=Method.DISTILLATION, teacher=teacher)
    tuner = open_distillation(work)
    before = tuner.evaluate()
    assert "exact_match" in before
    train(tuner.trainee, plan(15), tmp_path, resume=False)
    assert tuner.evaluate()["loss"] < before["loss"]


def test_the_student_comes_near_to_the_teachers_logits(
    base: InstalledModel, teacher: InstalledModel, tmp_path: Path
) -> None:
    work = job(
        base,
        tmp_path,
        method=Method.DISTILLATION,
        teacher=teacher,
        teaches_by="logits",
        logits_share=1.0,
    )
    tuner = open_distillation(work)
    before = tuner.evaluate()["loss"]
    train(tuner.trainee, plan(15), tmp_path, resume=False)
    assert tuner.evaluate()["loss"] < before / 1.2


def test_a_teacher_that_is_the_student_has_no_divergence(
    base: InstalledModel, tmp_path: Path
) -> None:
    work = job(
        base,
        tmp_path,
        method=Method.DISTILLATION,
        teacher=base,
        teaches_by="logits",
        logits_share=1.0,
    )
    assert open_distillation(work).evaluate()["loss"] == pytest.approx(0, abs=1e-5)


def test_divergence_is_torchs_own() -> None:
    ours, theirs = torch.randn(5, 11), torch.randn(5, 11)
    found = divergence(ours, theirs, 2.0)
    first, second = (torch.distributions.Categorical(logits=one / 2) for one in (theirs, ours))
    torch.testing.assert_close(found, 4 * torch.distributions.kl_divergence(first, second))


def test_logits_of_another_vocabulary_are_refused(base: InstalledModel, tmp_path: Path) -> None:
    other = installed(tmp_path / "other", name="other", words=("land",))
    work = job(base, tmp_path, method=Method.DISTILLATION, teacher=other, teaches_by="logits")
    with pytest.raises(InvalidRequest, match="other and tiny have different vocabularies"):
        open_distillation(work)


def test_a_teacher_that_never_ends_is_refused(base: InstalledModel, tmp_path: Path) -> None:
    teacher = installed(tmp_path / "teacher", seed=3, name="endless")
    work = job(base, tmp_path, COUNTING, method=Method.DISTILLATION, teacher=teacher, max_tokens=8)
    with pytest.raises(InvalidRequest, match="endless came to the end of no answer"):
        open_distillation(work)


def plan(steps: int) -> Plan:
    return Plan(steps=steps, learning_rate=5e-3, warmup=1, seed=5, bfloat16=False)
