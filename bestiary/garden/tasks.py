"""What a model can be asked to do, and what one can do whose card does not say.

Knows architectures by name only; whether a build really has a head is its replica's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol


class Task(StrEnum):
    CHAT = "chat"
    COMPLETE = "complete"
    EMBED = "embed"
    RERANK = "rerank"
    SIMILARITY = "similarity"
    TOKEN_EMBED = "token-embed"  # noqa: S105 - a name, no secret
    FILL_MASK = "fill-mask"
    NEXT_SENTENCE = "next-sentence"
    CLASSIFY = "classify"
    TOKEN_CLASSIFY = "token-classify"  # noqa: S105 - a name, no secret
    EXPLAIN = "explain"
    SUMMARIZE = "summarize"
    TRANSLATE = "translate"
    # Of images. `generate` means pictures of nothing in particular, or of a class.
    GENERATE = "unconditional-image-generation"
    TEXT_TO_IMAGE = "text-to-image"
    IMAGE_TO_IMAGE = "image-to-image"
    INPAINT = "inpainting"
    SUPER_RESOLUTION = "super-resolution"
    VARIATION = "image-variation"
    COMPLETE_IMAGE = "image-completion"
    ENCODE_IMAGE = "image-encode"
    DECODE_IMAGE = "image-decode"
    RECONSTRUCT = "image-reconstruct"
    INTERPOLATE = "image-interpolate"
    DISCRIMINATE = "image-discriminate"
    LIKELIHOOD = "image-likelihood"
    NOISE = "image-noise"
    TRAJECTORY = "image-trajectory"


EMBEDDING_TASKS = (Task.EMBED, Task.TOKEN_EMBED, Task.SIMILARITY, Task.RERANK, Task.EXPLAIN)

_DENOISING = (Task.NOISE, Task.TRAJECTORY)
_VAE_TASKS = (
    Task.GENERATE,
    Task.VARIATION,
    Task.ENCODE_IMAGE,
    Task.DECODE_IMAGE,
    Task.RECONSTRUCT,
    Task.INTERPOLATE,
)
_GENERATOR_TASKS = (Task.GENERATE, Task.DECODE_IMAGE, Task.INTERPOLATE)
_UNCONDITIONAL = (
    Task.GENERATE,
    Task.IMAGE_TO_IMAGE,
    Task.INPAINT,
    Task.VARIATION,
    *_DENOISING,
)
_OF_A_PROMPT = (
    Task.TEXT_TO_IMAGE,
    Task.IMAGE_TO_IMAGE,
    Task.INPAINT,
    Task.VARIATION,
    *_DENOISING,
)

# By class name of transformers, or of diffusers' pipeline. Decoders are not listed: see `tasks_of`.
TASKS_OF_ARCHITECTURE: Mapping[str, tuple[Task, ...]] = {
    "BertModel": EMBEDDING_TASKS,
    "BertForPreTraining": (*EMBEDDING_TASKS, Task.FILL_MASK, Task.NEXT_SENTENCE),
    "BertForMaskedLM": (*EMBEDDING_TASKS, Task.FILL_MASK),
    "BertForNextSentencePrediction": (*EMBEDDING_TASKS, Task.NEXT_SENTENCE),
    "BertForSequenceClassification": (Task.CLASSIFY, Task.EXPLAIN),
    "BertForTokenClassification": (Task.TOKEN_CLASSIFY, Task.EXPLAIN),
    "T5ForConditionalGeneration": (Task.SUMMARIZE,),
    "BartForConditionalGeneration": (Task.SUMMARIZE,),
    "MarianMTModel": (Task.TRANSLATE,),
    "RecurrentSeq2Seq": (Task.TRANSLATE,),
    "AutoencoderKL": _VAE_TASKS,
    "ConditionalGan": (*_GENERATOR_TASKS, Task.DISCRIMINATE),
    "DcganGenerator": _GENERATOR_TASKS,
    "ResidualUpscaler": (Task.SUPER_RESOLUTION,),
    "RrdbUpscaler": (Task.SUPER_RESOLUTION,),
    "ImageGPTForCausalImageModeling": (
        Task.GENERATE,
        Task.COMPLETE_IMAGE,
        Task.LIKELIHOOD,
        Task.ENCODE_IMAGE,
    ),
    "DDPMPipeline": _UNCONDITIONAL,
    "UnconditionalLatentPipeline": _UNCONDITIONAL,  # our own: DDPM's in the latents of a VAE
    "StableDiffusionPipeline": (*_OF_A_PROMPT, Task.ENCODE_IMAGE, Task.DECODE_IMAGE),
    "TextToImagePipeline": _OF_A_PROMPT,  # our own, see zoo/README: token states of any encoder
    "LDMSuperResolutionPipeline": (Task.SUPER_RESOLUTION,),
    "SuperResolutionPipeline": (Task.SUPER_RESOLUTION,),  # our own: in pixels, no VAE
    "FeedForwardUpscaler": (Task.SUPER_RESOLUTION,),
}


class _Described(Protocol):
    """What of a model card is looked at here."""

    @property
    def family(self) -> str: ...
    @property
    def architecture(self) -> str: ...
    @property
    def instruct(self) -> bool: ...
    @property
    def tasks(self) -> tuple[Task, ...]: ...


def tasks_of(card: _Described) -> tuple[Task, ...]:
    """The card's own, or else what its architecture can do; none where nobody knows."""
    if card.tasks:
        return card.tasks
    if card.family == "text":
        return (Task.CHAT, Task.COMPLETE) if card.instruct else (Task.COMPLETE,)
    return TASKS_OF_ARCHITECTURE.get(card.architecture, ())
