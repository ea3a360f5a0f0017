"""The PaLM wire: what callers get. Results in, documents out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bestiary.garden.card import Family, ModelCard
from bestiary.garden.tasks import Task
from bestiary.schemas.encoder import EmbeddingResult
from services.gateway.dialects import palm_wire as wire
from services.gateway.generation import Candidate
from services.router.ability import may
from services.router.offers import OfferedModel

MODEL_AUTHOR = "1"  # who replies, as PaLM names it


def unique(candidates: Iterable[Candidate]) -> tuple[str, ...]:
    """PaLM's candidates differ from each other: sampling twice the same text counts once."""
    return tuple(dict.fromkeys(candidate.text for candidate in candidates))


def text_json(candidates: Iterable[Candidate]) -> dict[str, object]:
    """No `safetyRatings`: nothing here rates."""
    return {"candidates": [{"output": text} for text in unique(candidates)]}


def message_json(
    candidates: Iterable[Candidate], messages: Sequence[wire.Message]
) -> dict[str, object]:
    return {
        "candidates": [{"author": MODEL_AUTHOR, "content": text} for text in unique(candidates)],
        "messages": [{"author": one.author, "content": one.content} for one in messages],
    }


def embedding_json(result: EmbeddingResult) -> dict[str, object]:
    return {"embedding": {"value": result.vectors[0].tolist()}}


def embeddings_json(result: EmbeddingResult) -> dict[str, object]:
    return {"embeddings": [{"value": vector.tolist()} for vector in result.vectors]}


def model_json(model: OfferedModel, token_limit: int) -> dict[str, object]:
    """`token_limit` bounds prompt and completion together: both limits are it."""
    card = model.card
    described: dict[str, object] = {
        "name": f"models/{model.id}",
        "baseModelId": card.id,
        "version": "001",
        "displayName": f"{card.title} ({model.tier})" if model.tier else card.title,
        "description": card.description,
        "inputTokenLimit": token_limit,
        "outputTokenLimit": token_limit if card.family is Family.TEXT else 1,
        "supportedGenerationMethods": methods(card),
    }
    if card.family is Family.TEXT:
        described["temperature"] = card.sampling.temperature
        described["topP"] = card.sampling.top_p
        described["topK"] = card.sampling.top_k
    return described


def methods(card: ModelCard) -> list[str]:
    if card.family is Family.ENCODER:
        embeds = ["embedText", "batchEmbedText"] if may(card, Task.EMBED) else []
        return [*embeds, "countTextTokens"]
    if card.family is Family.SEQ2SEQ:  # PaLM has no word for what it does
        return ["countTextTokens"]
    chat = ["generateMessage", "countMessageTokens"] if card.instruct else []
    return ["generateText", "countTextTokens", *chat]
