"""The weights of a job: the base with an adapter on it, or all of it; and what is saved of them.

Adapters are peft's LoRA on linear layers, as replicas read them
(`deployments/kernels/adapter_files.py`). Knows no method and no data.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from bestiary.errors import InvalidRequest
from bestiary.garden import InstalledModel
from bestiary.schemas.tuning import Lora, PublishedKind
from services.tuning.trainers.model_folder import TOKENIZER_FILES, take_over
from services.tuning.trainers.tuner import Assignment

# A LoRA step of SmolLM2-135M on 512 packed tokens, float32 with AVX2, tokens per CPU second:
# 80 in one row and 82 in two, eager attention 74 and 60.
ATTENTION = "sdpa"
LARGE = 1_000_000_000  # parameters; from here a GPU computes activations again to save memory
# The chat template is in either of two files; what serving takes over is all here.
TAKEN_OVER = (*TOKENIZER_FILES, "chat_template.jinja", "generation_config.json", "merges.txt")


class TunedModel:
    """`trained` is what the loop trains, `language_model` the same weights without peft's shell."""

    def __init__(self, language_model: PreTrainedModel, base: InstalledModel) -> None:
        self.language_model = language_model
        self.trained: nn.Module = language_model
        self.base = base
        self.kind = PublishedKind.MODEL

    @property
    def adapted(self) -> bool:
        return self.kind is PublishedKind.ADAPTER

    @contextmanager
    def as_base(self) -> Iterator[None]:
        """The weights are the base's inside, read again from its folder."""
        other = dict(opened(self.base).named_parameters())
        own = {name: one.data for name, one in self.language_model.named_parameters()}
        for name, one in self.language_model.named_parameters():
            one.data = other[name].data.to(one.device)
        try:
            yield
        finally:
            for name, one in self.language_model.named_parameters():
                one.data = own[name]

    def save(self, folder: Path) -> None:
        """A folder that the garden can add."""
        folder.mkdir(parents=True, exist_ok=True)
        self.language_model.save_pretrained(folder)
        take_over(self.base.path, folder, TAKEN_OVER)


class AdaptedModel(TunedModel):
    """The base is frozen, the adapter is learned."""

    def __init__(self, language_model: PreTrainedModel, base: InstalledModel, lora: Lora) -> None:
        super().__init__(language_model, base)
        self.kind = PublishedKind.ADAPTER
        self._shell = _with_adapter(language_model, base, lora)
        self.trained = self._shell

    @contextmanager
    def as_base(self) -> Iterator[None]:
        with self._shell.disable_adapter():
            yield

    def save(self, folder: Path) -> None:
        """As peft saves it; the embeddings never, so no hub is asked whether they changed."""
        self._shell.save_pretrained(folder, save_embedding_layers=False)
        # A card that peft writes for the hub; ours is made on publication.
        (folder / "README.md").unlink(missing_ok=True)


def tuned_model(work: Assignment) -> TunedModel:
    """As the job's hyperparameters want it, on its device.

    Raises InvalidRequest for a target that the model does not have.
    """
    torch.set_num_threads(work.threads)
    torch.manual_seed(work.spec.seed)  # an adapter begins with random numbers
    wanted = work.spec.hyperparameters
    model = opened(work.model)
    if work.device.startswith("cuda") and model.num_parameters() > LARGE:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if wanted.full:
        tuned = TunedModel(model, work.model)
    else:
        tuned = AdaptedModel(model, work.model, wanted.lora)
    tuned.trained.to(work.device)
    return tuned


def opened(model: InstalledModel) -> PreTrainedModel:
    """In float32, in evaluation mode, with no sampling defaults of its own."""
    found = AutoModelForCausalLM.from_pretrained(
        model.path, dtype=torch.float32, attn_implementation=ATTENTION
    )
    found.generation_config = GenerationConfig()
    return found.eval()


def _with_adapter(model: PreTrainedModel, base: InstalledModel, lora: Lora) -> PeftModel:
    layers = [
        (name.rpartition(".")[2], one)
        for name, one in model.get_decoder().named_modules()
        if isinstance(one, nn.Linear | Conv1D)
    ]
    known = sorted({name for name, _ in layers})
    strange = sorted(set(lora.targets) - set(known))
    if strange:
        raise InvalidRequest(
            f"{base.card.id} has no linear layer called {strange[0]!r}; it has {', '.join(known)}",
            "hyperparameters.lora.targets",
        )
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets) or known,
        fan_in_fan_out=any(isinstance(one, Conv1D) for _, one in layers),
    )
    with warnings.catch_warnings():
        # peft 0.21 asks transformers 5.23 for a property under its old name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        shell = get_peft_model(model, config)
    stated = shell.peft_config["default"]
    # peft names the folder, which nobody who gets the adapter needs to know, and has a set,
    # whose order would make another file of each save.
    stated.base_model_name_or_path = base.card.id
    stated.target_modules = sorted(stated.target_modules)
    return shell
