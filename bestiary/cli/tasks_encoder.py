"""`bestiary fill-mask`, `next-sentence`, `classify`, `token-classify`, `rerank`, `similarity`.

Through the SDK like any user. Only what was found goes to stdout.
"""

from __future__ import annotations

from typing import Annotated

import typer
from bestiary_client import FilledMask
from rich.table import Table
from rich.text import Text

from bestiary.cli.connected import connected
from bestiary.cli.given_texts import lines_given
from bestiary.cli.screen import console
from bestiary.cli.spans_in_text import coloured, span_table
from bestiary.cli.task_options import AsJson, Model, Texts, Truncate, task_options
from bestiary.cli.task_output import print_json, warn_of_cuts
from bestiary.errors import InvalidRequest

First = Annotated[str, typer.Argument(help="The first text.")]
Second = Annotated[str, typer.Argument(help="The second text.")]
MAX_TOP_K = 100


def fill_mask(
    context: typer.Context,
    texts: Texts = None,
    top_k: Annotated[int, typer.Option(help="So many words.", min=1, max=MAX_TOP_K)] = 5,
    model: Model = "auto",
    truncate: Truncate = False,
    as_json: AsJson = False,
) -> None:
    """Guess the word behind \\[MASK], with probabilities.

    Example: bestiary fill-mask "This function \\[MASK] the name of the file." --top-k 3
    """
    given = lines_given(texts)
    with connected(context.obj) as client:
        found = client.fill_mask(given, top_k=top_k, **task_options(model, truncate))
    if as_json:
        print_json(found)
        return
    for text, filled in zip(given, found, strict=True):
        if len(given) > 1:
            console.print(Text(text, style="bold"), soft_wrap=True)
        console.print(_candidates(filled))
    warn_of_cuts(filled.truncated for filled in found)


def next_sentence(
    context: typer.Context,
    first: First,
    second: Second,
    model: Model = "auto",
    truncate: Truncate = False,
    as_json: AsJson = False,
) -> None:
    """Tell whether the second text follows the first.

    Example: bestiary next-sentence "He opened the door." "Then he went in."
    """
    with connected(context.obj) as client:
        found = client.next_sentence(first, second, **task_options(model, truncate))
    if as_json:
        print_json(found)
        return
    word = "follows" if found[0].is_next else "does not follow"
    console.print(f"{word} (probability {found[0].probability:.3f})")
    warn_of_cuts(one.truncated for one in found)


def classify(
    context: typer.Context,
    texts: Texts = None,
    pair: Annotated[
        str | None, typer.Option(help="A second text, for models of sentence pairs.")
    ] = None,
    model: Model = "auto",
    truncate: Truncate = False,
    as_json: AsJson = False,
) -> None:
    """Label texts; each with the scores of all labels.

    Example: bestiary classify "Earn 5,000 a week from home, guaranteed!"
    """
    given = lines_given(texts)
    if pair is not None and len(given) != 1:
        raise InvalidRequest("--pair belongs to one text", "pair")
    with connected(context.obj) as client:
        options = task_options(model, truncate)
        found = client.classify(given[0] if pair else given, pair, **options)
    if as_json:
        print_json(found)
        return
    table = Table("label", "score", "all labels", "text", box=None)
    for text, one in zip(given, found, strict=True):
        every = "  ".join(f"{label.label} {label.score:.3f}" for label in one.labels)
        table.add_row(Text(one.label), f"{one.score:.3f}", Text(every), Text(text[:60]))
    console.print(table)
    warn_of_cuts(one.truncated for one in found)


def token_classify(
    context: typer.Context,
    texts: Texts = None,
    model: Model = "auto",
    truncate: Truncate = False,
    as_json: AsJson = False,
) -> None:
    """Find labelled spans in texts, coloured where they stand.

    Example: bestiary token-classify "The method get_queryset returns a QuerySet."
    """
    given = lines_given(texts)
    with connected(context.obj) as client:
        found = client.token_classify(given, **task_options(model, truncate))
    if as_json:
        print_json(found)
        return
    for text, one in zip(given, found, strict=True):
        console.print(coloured(text, one.spans), soft_wrap=True)
        console.print(span_table(one.spans) if one.spans else "no spans")
    warn_of_cuts(one.truncated for one in found)


def rerank(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="What is looked for.")],
    documents: Annotated[
        list[str] | None,
        typer.Argument(help="Documents; without any: each line that is piped in."),
    ] = None,
    top_n: Annotated[int | None, typer.Option(help="The best so many.", min=1)] = None,
    model: Model = "auto",
    truncate: Truncate = False,
    as_json: AsJson = False,
) -> None:
    """Order documents by how well they fit a query, the best first.

    Example: bestiary rerank "capital of France" "Paris is a capital." "A cat on a mat." --top-n 1
    """
    given = lines_given(documents, "document")
    with connected(context.obj) as client:
        found = client.rerank(
            query,
            given,
            top_n=top_n,
            return_documents=as_json,
            **task_options(model, truncate),
        )
    if as_json:
        print_json(found)
        return
    table = Table("score", "number", "document", box=None)
    for one in found:
        table.add_row(f"{one.relevance_score:.3f}", str(one.index + 1), Text(given[one.index]))
    console.print(table)
    cut = {one.index for one in found if one.truncated}
    warn_of_cuts(index in cut for index in range(len(given)))


def similarity(
    context: typer.Context,
    first: First,
    second: Second,
    model: Model = "auto",
    truncate: Truncate = False,
    as_json: AsJson = False,
) -> None:
    """Tell how alike two texts are: the cosine of their embeddings, -1 to 1.

    Example: bestiary similarity "A man plays the guitar." "Someone makes music."
    """
    with connected(context.obj) as client:
        found = client.similarity(first, second, **task_options(model, truncate))
    if as_json:
        print_json(found)
        return
    console.print(f"{found[0].score:.3f}")
    warn_of_cuts(one.truncated for one in found)


def _candidates(filled: FilledMask) -> Table:
    """The best first."""
    table = Table("word", "probability", "text", box=None)
    for one in filled.candidates:
        table.add_row(Text(one.token), f"{one.score:.3f}", Text(one.sequence))
    return table
