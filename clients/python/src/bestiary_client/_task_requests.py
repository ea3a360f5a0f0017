"""What callers say -> the native wire under /v1: tasks of encoders and encoder-decoders. Pure.

Whether a text is empty, too long or without its mask, and which languages there are, the
platform says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from bestiary_client._json import JsonObject
from bestiary_client._requests import (
    Call,
    RoutingOptions,
    model_of,
    post_call,
    refuse_unknown,
)

Texts = str | Sequence[str]
Pair = tuple[str, str]
AUTO = "auto"  # the first model of the platform that can do the task


class TaskOptions(RoutingOptions, total=False):
    """Of every task. `model` is a card, a deployment or an alias; default: any that can."""

    truncate: bool | None  # cut texts over the model's length; default: refuse them


class RewriteOptions(TaskOptions, total=False):
    """How a summary or a translation is chosen. What is left out is the model's own way."""

    max_tokens: int | None  # the end token included
    min_tokens: int | None
    num_beams: int | None  # 1..16; over 1: beam search, which does not sample
    length_penalty: float | None  # a beam's score is its log probability over length to this
    no_repeat_ngram_size: int | None  # 0: no such rule
    early_stopping: bool | Literal["never"] | None
    temperature: float | None  # 0..2; 0: greedy, or beams
    top_k: int | None
    top_p: float | None
    seed: int | None


class TranslateOptions(RewriteOptions, total=False):
    """Languages are ISO 639-1; one may be left out where all of the model's pairs agree on it."""

    source: str | None  # for instance "en"
    target: str | None  # for instance "fr"


def texts_call(task: str, texts: Texts, more: JsonObject, options: TaskOptions) -> Call:
    """One text or a list of them."""
    refuse_unknown(options, TaskOptions)
    return _task_call(task, {**_texts(texts), **more}, options)


def pairs_call(
    task: str, first: str | Sequence[Pair], second: str | None, options: TaskOptions
) -> Call:
    """Two texts, or a list of pairs. Raises TypeError for anything in between."""
    refuse_unknown(options, TaskOptions)
    if isinstance(first, str):
        if second is None:
            raise TypeError("give two texts, or a list of pairs")
        return _task_call(task, {"first": first, "second": second}, options)
    if second is not None:
        raise TypeError("a second text belongs to one text, not to a list of pairs")
    return _task_call(task, {"pairs": [list(pair) for pair in first]}, options)


def classify_call(
    text: str | Sequence[str | Pair], text_pair: str | None, options: TaskOptions
) -> Call:
    """A text or a pair, or a list of texts and pairs. Raises TypeError for a list and a text."""
    refuse_unknown(options, TaskOptions)
    if isinstance(text, str):
        return _task_call("classify", {"text": text, "text_pair": text_pair}, options)
    if text_pair is not None:
        raise TypeError("text_pair belongs to one text; a list may hold pairs")
    inputs = [one if isinstance(one, str) else list(one) for one in text]
    return _task_call("classify", {"inputs": inputs}, options)


def explain_call(text: str, text_pair: str | None, options: TaskOptions) -> Call:
    refuse_unknown(options, TaskOptions)
    return _task_call("explain", {"text": text, "text_pair": text_pair}, options)


def rerank_call(
    query: str, documents: Sequence[str], top_n: int | None, with_text: bool, options: TaskOptions
) -> Call:
    """Raises TypeError where `documents` is one string: its letters are no documents."""
    refuse_unknown(options, TaskOptions)
    if isinstance(documents, str):
        raise TypeError("documents is a list of texts")
    body: JsonObject = {"query": query, "documents": list(documents), "top_n": top_n}
    return _task_call("rerank", {**body, "return_documents": with_text or None}, options)


def summarize_call(texts: Texts, options: RewriteOptions, stream: bool) -> Call:
    refuse_unknown(options, RewriteOptions)
    return _rewrite_call("summarize", _texts(texts), options, RewriteOptions, stream)


def translate_call(
    texts: Texts, return_attention: bool, options: TranslateOptions, stream: bool
) -> Call:
    refuse_unknown(options, TranslateOptions)
    body = {**_texts(texts), "return_attention": return_attention or None}
    return _rewrite_call("translate", body, options, TranslateOptions, stream)


def _rewrite_call(
    task: str, body: JsonObject, options: RewriteOptions, known: type[TaskOptions], stream: bool
) -> Call:
    chosen: Mapping[str, object] = {**options}
    own = known.__annotations__.keys() - TaskOptions.__annotations__.keys()
    said = {name: chosen[name] for name in sorted(own & chosen.keys())}
    return _task_call(task, {**body, **said, "stream": stream or None}, options)


def _task_call(task: str, body: JsonObject, options: TaskOptions) -> Call:
    """None is as good as left out, also inside the body."""
    shared: JsonObject = {
        "model": model_of(options, AUTO),
        "truncate": options.get("truncate"),
    }
    said = {name: value for name, value in {**shared, **body}.items() if value is not None}
    return post_call(f"/v1/{task}", said, options)


def _texts(texts: Texts) -> JsonObject:
    return {"text": texts} if isinstance(texts, str) else {"texts": list(texts)}
