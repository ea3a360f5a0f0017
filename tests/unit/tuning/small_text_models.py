"""Small random Llamas with byte tokenizers, as the garden installs a model, and jobs on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from bestiary.garden import Family, InstalledModel, ModelCard, Source
from bestiary.schemas.text import ChatMessage
from bestiary.schemas.tuning import Hyperparameters, JobSpec, Lora, Method, TrainingPlan
from services.tuning.data.examples import Completion, Conversation, Example
from services.tuning.trainers.tuner import Assignment
from tests.unit.text.text_tokenizers import END, byte_tokenizer

ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
POSITIONS = 256


def installed(
    folder: Path,
    *,
    seed: int = 1,
    name: str = "tiny",
    words: tuple[str, ...] = ("the", " sea"),
    template: str | None = TEMPLATE,
    model: PreTrainedModel | None = None,
) -> InstalledModel:
    """Another `words`: another vocabulary. `model` instead of a small Llama."""
    tokenizer = byte_tokenizer(words=words, special=ROLES)
    size = len(tokenizer.vocabulary())
    torch.manual_seed(seed)
    made = model or LlamaForCausalLM(_config(size))
    made.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer.serialized(), "utf-8")
    config = {"eos_token": END} | ({} if template is None else {"chat_template": template})
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    card = ModelCard(
        id=name,
        family=Family.TEXT,
        architecture=type(made).__name__,
        title=name,
        parameters=made.num_parameters(),
        instruct=template is not None,
        context_length=POSITIONS,
        license="none",
        provenance="drawn at random",
        sources=(Source(url=folder.as_uri()),),
    )
    return InstalledModel(card, folder, f"revision-{seed}")


def _config(size: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=POSITIONS,
        initializer_range=0.2,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )


def conversation(*turns: str) -> Conversation:
    """User and assistant in turns; all that the assistant says is learned."""
    messages = tuple(
        ChatMessage(role="assistant" if place % 2 else "user", content=text)
        for place, text in enumerate(turns)
    )
    return Conversation(messages, tuple(range(1, len(messages), 2)))


COUNTING: tuple[Example, ...] = tuple(
    Completion(f"{n} and one is ", str(n + 1)) for n in (3, 12, 7, 105, 44, 9, 1300, 68)
)


def job(
    base: InstalledModel,
    folder: Path,
    training: Sequence[Example] = COUNTING,
    held_out: Sequence[Example] = COUNTING[:4],
    *,
    method: Method = Method.SUPERVISED,
    teacher: InstalledModel | None = None,
    teaches_by: str = "answers",
    max_tokens: int = 64,
    micro_batch_size: int = 4,
    steps: int = 6,
    **hyperparameters: object,
) -> Assignment:
    chosen = {"lora": Lora(rank=4, alpha=8)} | hyperparameters
    spec = JobSpec(
        base=base.card.id,
        method=method,
        training_file="file-1",
        hyperparameters=Hyperparameters.model_validate(chosen),
        seed=5,
        teacher=None if teacher is None else teacher.card.id,
        teaches_by=teaches_by,
    )
    plan = TrainingPlan(
        steps=steps,
        epochs=1,
        batch_size=micro_batch_size,
        micro_batch_size=micro_batch_size,
        learning_rate=5e-3,
        warmup_steps=1,
        max_tokens=max_tokens,
        evaluate_every=3,
        checkpoint_every=2,
        training_examples=len(training),
        held_out_examples=len(held_out),
        training_tokens=100,
        estimated_seconds=1,
    )
    return Assignment(spec, plan, base, teacher, training, held_out, folder, threads=1)
