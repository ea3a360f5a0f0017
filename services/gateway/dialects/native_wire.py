"""The native wire: what callers send for the tasks of encoders and encoder-decoders.

docs/api/native.md describes it. Strict models; what is done with them is in `native_tasks.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from bestiary.errors import InvalidRequest
from bestiary.schemas.encoder import MAX_INPUTS, MAX_TOP_K
from bestiary.schemas.seq2seq import MAX_INPUTS as MAX_REWRITTEN

V = TypeVar("V")
# Fields of the replicas' requests and errors -> the caller's, where they always differ.
_LANGUAGES = {"source_language": "source", "target_language": "target"}


def _not_empty(text: str) -> str:
    if not text.strip():
        raise ValueError("a text must not be empty")
    return text


def _pair(given: object) -> object:
    if not isinstance(given, list) or len(given) != 2:
        raise ValueError("a pair is a list of two texts")
    return tuple(given)


def _text_or_pair(given: object) -> object:
    if isinstance(given, str):
        return _not_empty(given)
    pair = _pair(given)
    if not all(isinstance(text, str) and text.strip() for text in given):  # type: ignore[attr-defined]
        raise ValueError("both texts of a pair must be strings that are not empty")
    return pair


def _document_text(given: object) -> object:
    """Cohere's and Jina's clients may send `{"text": ...}`."""
    return given["text"] if isinstance(given, dict) and set(given) == {"text"} else given


Text = Annotated[str, AfterValidator(_not_empty)]
Pair = Annotated[tuple[Text, Text], BeforeValidator(_pair)]
TextOrPair = Annotated[str | tuple[str, str], BeforeValidator(_text_or_pair)]
Document = Annotated[Text, BeforeValidator(_document_text)]


def _one_of(one: V | None, several: Sequence[V] | None, names: tuple[str, str]) -> tuple[V, ...]:
    """Raises InvalidRequest unless exactly one is there."""
    if one is not None and several is None:
        return (one,)
    if several is not None and one is None:
        return tuple(several)
    raise InvalidRequest(f"give exactly one of {names[0]} and {names[1]}", names[0])


class Native(BaseModel):
    """What all tasks have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="a card, deployment or alias; null or `auto`: the first that can do the task",
    )
    truncate: bool | None = Field(None, description="cut texts over the model's length")

    def public_names(self) -> Mapping[str, str]:
        """Fields of the replica's request -> the caller's, where they differ."""
        return {"task": "model"}

    def languages(self) -> tuple[str | None, str | None]:
        """From and to; of a translation."""
        return None, None


class Texts(Native):
    """Exactly one of `text` and `texts`."""

    text: Text | None = None
    texts: list[Text] | None = Field(None, min_length=1, max_length=MAX_INPUTS)

    def inputs(self) -> tuple[str, ...]:
        return _one_of(self.text, self.texts, ("text", "texts"))

    def public_names(self) -> Mapping[str, str]:
        given = "text" if self.texts is None else "texts"
        return {**super().public_names(), "input": given, "inputs": given}


class TextPairs(Native):
    """`first` and `second`, or `pairs`."""

    first: Text | None = None
    second: Text | None = None
    pairs: list[Pair] | None = Field(None, min_length=1, max_length=MAX_INPUTS)

    def every_pair(self) -> tuple[tuple[str, str], ...]:
        if (self.first is None) != (self.second is None):
            missing = "second" if self.second is None else "first"
            raise InvalidRequest(f"Missing required parameter: '{missing}'.", missing)
        both = None
        if self.first is not None and self.second is not None:
            both = (self.first, self.second)
        return _one_of(both, self.pairs, ("first", "pairs"))

    def public_names(self) -> Mapping[str, str]:
        given = "first" if self.pairs is None else "pairs"
        return {**super().public_names(), "pairs": given}


class FillMask(Texts):
    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K)] | None = None


class NextSentence(TextPairs):
    pass


class Similarity(TextPairs):
    pass


class TokenClassify(Texts):
    pass


class TokenEmbeddings(Texts):
    encoding_format: Literal["float", "base64"] | None = None


class Classify(Native):
    """`text` (and `text_pair`), or `inputs`."""

    text: Text | None = None
    text_pair: Text | None = None
    inputs: list[TextOrPair] | None = Field(None, min_length=1, max_length=MAX_INPUTS)

    def every_input(self) -> tuple[str | tuple[str, str], ...]:
        if self.text_pair is not None and self.text is None:
            raise InvalidRequest("text_pair needs text", "text_pair")
        one: str | tuple[str, str] | None = self.text
        if self.text is not None and self.text_pair is not None:
            one = (self.text, self.text_pair)
        return _one_of(one, self.inputs, ("text", "inputs"))

    def public_names(self) -> Mapping[str, str]:
        given = "text" if self.inputs is None else "inputs"
        return {**super().public_names(), "input": given, "inputs": given}


class Explain(Native):
    text: Text
    text_pair: Text | None = None


class Rerank(Native):
    query: Text
    documents: list[Document] = Field(min_length=1, max_length=MAX_INPUTS)
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool | None = None


class Rewrite(Native):
    """Exactly one of `text` and `texts`, and how the output is chosen; null: the model's own way.

    The bounds are those of `bestiary.schemas.seq2seq.Decoding`.
    """

    text: Text | None = None
    texts: list[Text] | None = Field(None, min_length=1, max_length=MAX_REWRITTEN)
    max_tokens: int | None = None
    min_tokens: int | None = None
    num_beams: int | None = None
    length_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    early_stopping: bool | Literal["never"] | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    stream: bool | None = None

    def inputs(self) -> tuple[str, ...]:
        return _one_of(self.text, self.texts, ("text", "texts"))

    def looks(self) -> bool:
        """Whether attention is wanted."""
        return False

    def public_names(self) -> Mapping[str, str]:
        given = "text" if self.texts is None else "texts"
        return {**super().public_names(), "input": given, "inputs": given, **_LANGUAGES}


class Summarize(Rewrite):
    pass


class Translate(Rewrite):
    source: str | None = Field(None, description="ISO 639-1, for instance `en`")
    target: str | None = Field(None, description="ISO 639-1, for instance `fr`")
    return_attention: bool | None = None

    def languages(self) -> tuple[str | None, str | None]:
        return self.source, self.target

    def looks(self) -> bool:
        return bool(self.return_attention)
