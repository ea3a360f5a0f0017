"""`bestiary tune models`, `model`, `delete`, `compare`: what jobs have published."""

from __future__ import annotations

from typing import Annotated

import typer
from bestiary_client import BadRequest, Bestiary, Message, TunedModel
from rich.markup import escape
from rich.table import Table

from bestiary.cli import tune_options as options
from bestiary.cli.connected import connected
from bestiary.cli.screen import console, errors
from bestiary.cli.tune_output import as_json_line
from bestiary.cli.tune_tables import (
    evaluation_table,
    facts,
    lineage_table,
    models_table,
    moment,
    plan_rows,
    verdict_lines,
)
from bestiary.errors import InvalidRequest

_SAMPLED_ALIKE = 0  # seed of both, where they sample
# Methods whose models answer a conversation, a text to go on with, or in another way.
_ANSWERS = {
    "supervised": "chat",
    "dpo": "chat",
    "distillation": "chat",
    "continued_pretraining": "complete",
    "classification": "classify",
    "token_classification": "token_classify",
    "sequence_to_sequence": "rewrite",
}


def list_models(context: typer.Context, as_json: options.AsJson = False) -> None:
    """Show the tuned models that are served.

    Example: bestiary tune models
    """
    with connected(context.obj) as client:
        found = list(client.tuning.models.list())
    if as_json:
        for one in found:
            print(as_json_line(one))
    else:
        console.print(models_table(found))


def show_model(
    context: typer.Context, model: options.TunedModelId, as_json: options.AsJson = False
) -> None:
    """Show where a tuned model comes from: base, data, code, hyperparameters, evaluation.

    Example: bestiary tune model ft:smollm2-135m-instruct:tickets:1a2b
    """
    with connected(context.obj) as client:
        found = client.tuning.models.get(model)
    if as_json:
        print(as_json_line(found))
        return
    rows = [
        ("model", f"[green]{escape(found.id)}[/green]"),
        ("kind", found.kind),
        ("published", moment(found.created_at)),
        ("replicas", f"at least {found.min_replicas}"),
    ]
    console.print(facts(rows))
    console.print(lineage_table(found.lineage))
    if found.lineage.plan is not None:
        console.print(facts(plan_rows(found.lineage.plan), "plan"))
    if found.lineage.evaluation is not None:
        console.print(evaluation_table(found.lineage.evaluation))
        for line in verdict_lines(found.lineage.evaluation):
            console.print(line, soft_wrap=True)


def delete(
    context: typer.Context,
    model: options.TunedModelId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take a tuned model out of service. Its job, data and lineage stay.

    Example: bestiary tune delete ft:smollm2-135m-instruct:tickets:1a2b
    """
    if not yes:
        typer.confirm(f"{model} will answer no more. Delete it?", abort=True, err=True)
    with connected(context.obj) as client:
        client.tuning.models.delete(model)
    errors.print(f"deleted {escape(model)}")


def compare(
    context: typer.Context,
    model: options.TunedModelId,
    prompt: Annotated[str, typer.Argument(help="What both are asked.")],
    system: Annotated[
        str | None, typer.Option(help="Instructions that come first; for models that chat.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Most tokens to write.", min=1)] = 128,
    temperature: Annotated[float, typer.Option(help="0 is greedy.", min=0, max=2)] = 0,
    bare: Annotated[
        bool,
        typer.Option(
            "--complete",
            help="Go on with the prompt as it stands: for models of prompt and completion lines.",
        ),
    ] = False,
) -> None:
    """Ask the base and the tuned model the same, and show both answers side by side.

    Example: bestiary tune compare ft:smollm2-135m-instruct:tickets:1a2b "My printer is on fire"
    """
    with connected(context.obj) as client:
        tuned = client.tuning.models.get(model)
        asked = _Asked(prompt, system, max_tokens, temperature, bare=bare)
        answers = [_base_answer(client, asked, tuned), asked.of(client, tuned.id, tuned)]
    table = Table(escape(tuned.base), escape(tuned.id), show_lines=True, expand=console.is_terminal)
    for column in table.columns:
        column.ratio, column.overflow = 1, "fold"
    table.add_row(*(escape(one) for one in answers))
    console.print(table)


def _base_answer(client: Bestiary, asked: _Asked, tuned: TunedModel) -> str:
    """Some bases cannot do at all what the tuned model has learned; that is an answer too."""
    try:
        return asked.of(client, tuned.base, tuned)
    except BadRequest as error:
        return f"(cannot: {error.message})"


class _Asked:
    """One question, asked in the way that the model's method has made it for."""

    def __init__(
        self,
        prompt: str,
        system: str | None,
        max_tokens: int,
        temperature: float,
        *,
        bare: bool,
    ) -> None:
        self._prompt = prompt
        self._system = system
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._bare = bare

    def of(self, client: Bestiary, name: str, tuned: TunedModel) -> str:
        """Raises InvalidRequest for models whose answers are no text."""
        method = tuned.lineage.method
        way = "complete" if self._bare else _ANSWERS.get(method)
        if way == "chat":
            return self._chat(client, name)
        if way == "complete":
            return client.complete(
                self._prompt,
                model=name,
                max_tokens=self._max_tokens,
                temperature=self._temperature,
                seed=_SAMPLED_ALIKE,
            ).text
        if way == "classify":
            (found,) = client.classify(self._prompt, model=name)
            return "\n".join(f"{one.label} {one.score:.4f}" for one in found.labels)
        if way == "token_classify":
            (tagged,) = client.token_classify(self._prompt, model=name)
            return "\n".join(f"{one.label} {one.text}" for one in tagged.spans) or "nothing"
        if way == "rewrite":
            return client.translate(self._prompt, model=name)[0].text
        raise InvalidRequest(f"models tuned by {method} give no text to compare", "model")

    def _chat(self, client: Bestiary, name: str) -> str:
        said: list[Message] = [{"role": "user", "content": self._prompt}]
        if self._system:
            said.insert(0, {"role": "system", "content": self._system})
        return client.chat(
            said,
            model=name,
            max_tokens=self._max_tokens,
            temperature=self._temperature,
            seed=_SAMPLED_ALIKE,
        ).text
