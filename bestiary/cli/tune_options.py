"""Options that `bestiary tune start` and `estimate` share, and what they make of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from bestiary_client import TuningMethod, TuningOptions

from bestiary.cli.tune_gate import gate_of
from bestiary.errors import InvalidRequest

_WHAT, _HOW, _RUN, _AFTER = "What", "How it learns", "How it runs", "What comes of it"

Base = Annotated[
    str, typer.Argument(help="The model to tune: a card, a tier or an alias.", show_default=False)
]
Data = Annotated[
    str,
    typer.Argument(
        help="A file, a folder of pictures with captions, or the id of an uploaded file.",
        show_default=False,
    ),
]
Job = Annotated[str, typer.Argument(help="Its id: ftjob-...", show_default=False)]
TunedModelId = Annotated[str, typer.Argument(help="Its id: ft:...", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print what is known as JSON.")]
Validation = Annotated[
    str | None,
    typer.Option(
        help="Held-out examples, a file or an id; else some are taken out of FILE.",
        rich_help_panel=_WHAT,
    ),
]
Method = Annotated[
    TuningMethod | None,
    typer.Option(help="Default: what fits the model and the file.", rich_help_panel=_WHAT),
]
Teacher = Annotated[
    str | None,
    typer.Option(help="Distillation: the bigger model to learn from.", rich_help_panel=_WHAT),
]
TeachesBy = Annotated[
    Literal["answers", "logits"] | None,
    typer.Option(help="Distillation: what the teacher gives.", rich_help_panel=_WHAT),
]
Epochs = Annotated[
    int | None, typer.Option(help="Times through the data.", min=1, rich_help_panel=_HOW)
]
Steps = Annotated[int | None, typer.Option(help="Steps, over epochs.", min=1, rich_help_panel=_HOW)]
LearningRate = Annotated[
    float | None, typer.Option(help="Else chosen for the model.", rich_help_panel=_HOW)
]
BatchSize = Annotated[
    int | None, typer.Option(help="Examples a step.", min=1, rich_help_panel=_HOW)
]
MicroBatchSize = Annotated[
    int | None,
    typer.Option(help="Examples at once in memory.", min=1, rich_help_panel=_HOW),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(help="Of one example; longer ones are cut.", min=8, rich_help_panel=_HOW),
]
Rank = Annotated[int | None, typer.Option(help="Of the adapter.", min=1, rich_help_panel=_HOW)]
Full = Annotated[
    bool, typer.Option("--full", help="Train all weights, no adapter.", rich_help_panel=_HOW)
]
Beta = Annotated[
    float | None,
    typer.Option(help="DPO: higher stays nearer to the base.", rich_help_panel=_HOW),
]
Patience = Annotated[
    int | None,
    typer.Option(
        help="End after so many evaluations without a better loss.", min=0, rich_help_panel=_HOW
    ),
]
EvaluateEvery = Annotated[int | None, typer.Option(help="Steps.", min=1, rich_help_panel=_HOW)]
CheckpointEvery = Annotated[
    int | None, typer.Option(help="Steps that a kill can cost.", min=1, rich_help_panel=_HOW)
]
HeldOut = Annotated[
    float | None,
    typer.Option(help="Share of FILE that is held out.", rich_help_panel=_HOW),
]
Seed = Annotated[
    int | None,
    typer.Option(help="The same seed makes the same model.", min=0, rich_help_panel=_HOW),
]
Priority = Annotated[
    int | None, typer.Option(help="Higher first, -100 to 100.", rich_help_panel=_RUN)
]
Workers = Annotated[
    int | None, typer.Option(help="Processes that train together.", min=1, rich_help_panel=_RUN)
]
Suffix = Annotated[
    str | None,
    typer.Option(help="Part of the model's name: ft:BASE:SUFFIX:...", rich_help_panel=_AFTER),
]
GateConditions = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        help="What it must show to be published; repeatable: 'exact_match>=0.9', 'loss<=1.5', "
        "'f1 improves', 'forgetting<=1.5', or 'none'. Default: the loss improves, and perplexity "
        "on general text at most doubles.",
        rich_help_panel=_AFTER,
    ),
]
NoPublish = Annotated[
    bool,
    typer.Option("--no-publish", help="Train and evaluate, serve nothing.", rich_help_panel=_AFTER),
]
MinReplicas = Annotated[
    int | None,
    typer.Option(help="Replicas that keep it loaded.", min=0, rich_help_panel=_AFTER),
]
MetadataPairs = Annotated[
    list[str] | None,
    typer.Option("--metadata", help="NAME=VALUE; repeatable.", rich_help_panel=_AFTER),
]


def options_of(
    *,
    method: TuningMethod | None,
    teacher: str | None,
    teaches_by: Literal["answers", "logits"] | None,
    epochs: int | None,
    steps: int | None,
    learning_rate: float | None,
    batch_size: int | None,
    micro_batch_size: int | None,
    max_tokens: int | None,
    rank: int | None,
    full: bool,
    beta: float | None,
    patience: int | None,
    evaluate_every: int | None,
    checkpoint_every: int | None,
    held_out_share: float | None,
    seed: int | None,
    priority: int | None = None,
    workers: int | None = None,
    suffix: str | None = None,
    gate: Sequence[str] = (),
    no_publish: bool = False,
    min_replicas: int | None = None,
    metadata: Sequence[str] = (),
) -> TuningOptions:
    """Raises InvalidRequest."""
    return {
        "method": method,
        "teacher": teacher,
        "teaches_by": teaches_by,
        "epochs": epochs,
        "steps": steps,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "micro_batch_size": micro_batch_size,
        "max_tokens": max_tokens,
        "rank": rank,
        "full": full or None,
        "beta": beta,
        "patience": patience,
        "evaluate_every": evaluate_every,
        "checkpoint_every": checkpoint_every,
        "held_out_share": held_out_share,
        "seed": seed,
        "priority": priority,
        "workers": workers,
        "suffix": suffix,
        "gate": gate_of(gate),
        "publish": False if no_publish else None,
        "min_replicas": min_replicas,
        "metadata": _pairs(metadata) or None,
    }


def existing(given: str) -> Path | None:
    """None: it is an id. Raises InvalidRequest for what is neither a file nor an id."""
    path = Path(given)
    if path.exists():
        return path
    if given.startswith("file-"):
        return None
    raise InvalidRequest(f"{given} is neither a file nor the id of one (file-...)", "file")


def _pairs(given: Sequence[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    for one, (name, sign, _) in zip(given, pairs, strict=True):
        if not (name and sign):
            raise InvalidRequest(f"{one!r} is not NAME=VALUE", "metadata")
    return {name: value for name, _, value in pairs}
