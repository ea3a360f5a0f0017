"""The OpenAI wire: what callers get. Results in, documents and SSE frames out.

Frames are joined from bytes that are made once per stream: there is one per token.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence

import orjson

from bestiary.garden.image_facts import ImageFacts
from bestiary.garden.tasks import tasks_of
from bestiary.schemas.encoder import EmbeddingResult
from bestiary.schemas.image import ImageFamily
from bestiary.schemas.text import TextChunk
from services.gateway.dialects.openai_logprobs import LogprobsWriter
from services.gateway.dialects.openai_shapes import Shape
from services.gateway.error_mapping import OpenAIErrors, PublicError
from services.gateway.generation import Candidate, Generation, Usage
from services.gateway.receipts import with_field
from services.router.offers import OfferedModel

_DONE = b"data: [DONE]\n\n"
_ERRORS = OpenAIErrors()


def usage_json(usage: Usage) -> dict[str, object]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def answer_json(
    shape: Shape,
    request_id: str,
    generation: Generation,
    found: Sequence[Sequence[Candidate]],
    top_logprobs: int | None = None,
) -> dict[str, object]:
    """Choices are numbered prompt by prompt. `top_logprobs` None: no logprobs."""
    candidates = [candidate for of_prompt in found for candidate in of_prompt]
    return {
        "id": shape.id_prefix + request_id,
        "object": shape.document,
        "created": int(time.time()),
        "model": generation.decision.model,
        "choices": [
            shape.choice(index, one, _logprobs_json(shape, one, top_logprobs))
            for index, one in enumerate(candidates)
        ],
        "usage": usage_json(generation.usage),
    }


def _logprobs_json(shape: Shape, candidate: Candidate, top: int | None) -> dict[str, object] | None:
    if top is None:
        return None
    return shape.logprobs(top).write(candidate.prompt_logprobs, candidate.logprobs)


class EventWriter:
    """A `FrameWriter` of server-sent events (https://html.spec.whatwg.org/#server-sent-events)."""

    media_type = "text/event-stream"

    def __init__(
        self,
        shape: Shape,
        request_id: str,
        generation: Generation,
        *,
        include_usage: bool,
        include_receipt: bool,
        top_logprobs: int | None = None,
    ) -> None:
        self._shape = shape
        self._generation = generation
        self._include_usage = include_usage
        self._include_receipt = include_receipt
        self._top_logprobs = top_logprobs
        self._logprobs: dict[int, LogprobsWriter] = {}  # by choice: offsets go on and on
        document = {
            "id": shape.id_prefix + request_id,
            "object": shape.frame,
            "created": int(time.time()),
            "model": generation.decision.model,
        }
        self._before = b"data: " + orjson.dumps(document)[:-1] + b',"choices":['
        self._after = b'],"usage":null}\n\n' if include_usage else b"]}\n\n"
        self._held = b""  # the last candidate's end: the receipt may have to go into it

    def begin(self) -> bytes:
        indices = range(self._generation.prompts * self._generation.candidates)
        openings = (self._shape.opening(index) for index in indices)
        return b"".join(self._frame(choice) for choice in openings if choice is not None)

    def write(self, prompt: int, chunks: tuple[TextChunk, ...]) -> bytes:
        frames: list[bytes] = []
        for chunk in chunks:
            index = prompt * self._generation.candidates + chunk.candidate
            if chunk.text or chunk.logprobs or chunk.prompt_logprobs:
                logprobs = self._logprobs_of(index, chunk)
                frames.append(self._frame(self._shape.text(index, chunk.text, logprobs)))
            for piece in chunk.tool_calls:
                frames.append(self._frame(self._shape.tool_call(index, piece)))
            if chunk.finish_reason is not None:
                frames.append(self._held)
                self._held = self._frame(self._shape.closing(index, chunk.finish_reason.value))
        return b"".join(frames)

    def end(self, receipt: bytes) -> bytes:
        last = self._usage_frame() if self._include_usage else self._held
        if self._include_receipt:
            last = with_field(last.removesuffix(b"\n\n"), receipt) + b"\n\n"
        if self._include_usage:
            last = self._held + last
        return b"".join((last, b": bestiary-receipt ", receipt, b"\n\n", _DONE))

    def fail(self, error: PublicError) -> bytes:
        return b"".join((self._held, b"data: ", _ERRORS.body(error), b"\n\n"))

    def _logprobs_of(self, index: int, chunk: TextChunk) -> bytes:
        if self._top_logprobs is None or not (chunk.logprobs or chunk.prompt_logprobs):
            return b"null"
        if index not in self._logprobs:
            self._logprobs[index] = self._shape.logprobs(self._top_logprobs)
        return orjson.dumps(self._logprobs[index].write(chunk.prompt_logprobs, chunk.logprobs))

    def _frame(self, choice: bytes) -> bytes:
        return b"".join((self._before, choice, self._after))

    def _usage_frame(self) -> bytes:
        usage = orjson.dumps(usage_json(self._generation.usage))
        return b"".join((self._before, b'],"usage":', usage, b"}\n\n"))


def embeddings_json(result: EmbeddingResult, model: str, encoding: str) -> dict[str, object]:
    """base64 is of little-endian float32, which is what OpenAI's SDK asks for."""
    vectors = result.vectors.astype("<f4", copy=False)
    data: list[dict[str, object]] = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vector.tobytes()).decode()
            if encoding == "base64"
            else vector.tolist(),
        }
        for index, vector in enumerate(vectors)
    ]
    tokens = sum(result.prompt_tokens)
    return {
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def model_json(model: OfferedModel, created: int) -> dict[str, object]:
    """OpenAI's model object; what a name stands for is in the extension `bestiary`."""
    languages = {"languages": sorted(model.card.languages)} if model.card.languages else {}
    image = {} if model.card.image is None else {"image": _image_json(model.card.image)}
    return {
        "id": model.id,
        "object": "model",
        "created": created,
        "owned_by": "bestiary",
        "bestiary": {
            "kind": model.kind.value,
            "family": model.card.image.family.value if model.card.image else model.family.value,
            "tasks": [task.value for task in tasks_of(model.card)],
            **languages,
            **image,
            "tier": model.tier,
            "card": model.card.id,
            "deployment": model.deployment,
            "context_length": model.card.context_length,
            "license": model.card.license,
        },
    }


def _image_json(facts: ImageFacts) -> dict[str, object]:
    """Of an image model: the size of its pictures in pixels, what it can be told, how good it is.

    What does not hold of its kind is left out.
    """
    sized = {"size_step": facts.size_step} if facts.resizable else {}
    return {
        "width": facts.width,
        "height": facts.height,
        "channels": facts.channels,
        "resizable": facts.resizable,
        **sized,
        **({"latent_shape": facts.latent_shape} if facts.latent_shape else {}),
        **({"classes": facts.classes} if facts.classes else {}),
        **({} if facts.scale is None else {"scale": facts.scale}),
        **_denoising_json(facts),
        **({"data": facts.data} if facts.data else {}),
        **({"figures": facts.figures} if facts.figures else {}),
    }


def _denoising_json(facts: ImageFacts) -> dict[str, object]:
    if facts.family is not ImageFamily.DIFFUSION:
        return {}
    return {"denoising": facts.denoising.model_dump(mode="json")}
