"""Low-rank changes of a model's linear layers, by peft (arXiv:2106.09685), and their end.

For models that are published whole: the changes are merged into the weights when they are
saved. Knows no method and no data.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from bestiary.errors import InvalidRequest
from bestiary.schemas.tuning import Lora


def adapted(
    model: nn.Module, lora: Lora, *, heads: Sequence[str] = (), left_out: Sequence[str] = ()
) -> PeftModel:
    """All is frozen but the changes, and `heads`, which are learned whole.

    The changes are of the linear layers that `lora` names; where it names none, of all that
    are neither heads nor `left_out`. Names are whole ones, or their last parts.
    Raises InvalidRequest for a name that no linear layer has.
    """
    linear = [name for name, one in model.named_modules() if isinstance(one, nn.Linear)]
    inner = [name for name in linear if not _is_named(name, (*heads, *left_out))]
    for target in lora.targets:
        if not any(_is_named(name, (target,)) for name in inner):
            known = ", ".join(sorted({name.rpartition(".")[2] for name in inner}))
            raise InvalidRequest(
                f"no linear layer of this model is called {target!r}; there are: {known}",
                "hyperparameters.lora.targets",
            )
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=[n for n in inner if not lora.targets or _is_named(n, lora.targets)],
        modules_to_save=list(heads) or None,
    )
    with warnings.catch_warnings():
        # peft 0.21 asks transformers for a property by its older name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        return get_peft_model(model, config)


def merged(model: nn.Module) -> nn.Module:
    """The model without peft: a copy where there are changes to merge, else itself."""
    if not isinstance(model, PeftModel):
        return model
    with warnings.catch_warnings():
        # flan-T5's never were tied, though transformers 5 has it in the config that they are.
        warnings.filterwarnings("ignore", "Input and output embeddings are no longer tied")
        whole: nn.Module = copy.deepcopy(model).merge_and_unload()
    return whole


def _is_named(name: str, names: Sequence[str]) -> bool:
    return any(name == one or name.endswith(f".{one}") for one in names)
