"""The profile: which tiers there are, which model answers each, on what resources.

Strict and frozen. `load.py` reads it from YAML with line numbers; `applications.py`
turns it into Serve applications. Nothing here knows Ray.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from bestiary.garden.card import CardRequirement as CardRequirement
from bestiary.garden.card import Family
from bestiary.garden.tolerance import DecodePrecision as DecodePrecision
from bestiary.garden.tolerance import Precision as Precision
from bestiary.schemas.base import Frozen
from bestiary.schemas.image import MAX_CANDIDATES, MAX_PIXELS, MAX_STEPS
from bestiary.schemas.routing import Tier

Name = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9.-]{0,46}[a-z0-9])?$")]


EncoderPrecision = Literal["fp32", "fp16", "bf16mix", "int8", "w8a16", "w8row"]
Seq2SeqPrecision = Literal["fp32", "int8", "w8a16", "w8row"]
ImagePrecision = Literal["auto", "fp32", "fp16", "bf16mix", "int8"]


class UnknownReference(ValueError):
    """A value names something that the profile does not have; `load.py` adds line and hint."""

    def __init__(
        self, message: str, path: tuple[str | int, ...], named: str, known: tuple[str, ...]
    ) -> None:
        super().__init__(message)
        self.path = path  # of the value, from the profile's top
        self.named = named
        self.known = known


class InstalledCard(Frozen):
    installed: CardRequirement


class Resources(Frozen):
    """What one replica reserves."""

    cpus: Annotated[float, Field(ge=0, description="CPUs reserved in Ray's books")] = 0.5
    gpus: Annotated[float, Field(ge=0, description="GPUs per replica")] = 0
    memory_gib: Annotated[float, Field(gt=0)] | None = None
    threads: Annotated[int, Field(ge=0, description="engine threads; 0: all cores")] = 0


class Scaling(Frozen):
    """Ray Serve autoscaling of one deployment."""

    min_replicas: Annotated[int, Field(ge=0)] = 1
    max_replicas: Annotated[int, Field(ge=1)] = 1
    target_ongoing_requests: Annotated[float, Field(gt=0)] = 16
    upscale_delay_s: Annotated[float, Field(ge=0)] = 10
    downscale_delay_s: Annotated[float, Field(ge=0)] = 300
    max_surge_percent: Annotated[
        int,
        Field(
            ge=0,
            le=100,
            description="extra replicas while a change is rolled out, at least one; 0 stops the "
            "old ones first, for where no resources are left beside them",
        ),
    ] = 20

    @model_validator(mode="after")
    def _ordered(self) -> Scaling:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas {self.min_replicas} is over max_replicas {self.max_replicas}"
            )
        return self


class Queue(Frozen):
    """Every queue has a bound; over it the caller gets Overloaded and a Retry-After."""

    max_ongoing_requests: Annotated[int, Field(ge=1, description="per replica")] = 64
    max_queued_requests: Annotated[int, Field(ge=0, description="per gateway replica")] = 64
    target_wait_s: Annotated[
        float, Field(gt=0, description="expected queue wait over which the router spills over")
    ] = 5.0


class TextEngine(Frozen):
    """How a text model runs."""

    precision: Annotated[
        DecodePrecision | Literal["auto"],
        Field(description="auto: the fastest that loses next to nothing on the machine at hand"),
    ] = "auto"
    prefill_precision: Annotated[
        Precision | Literal["auto"] | None,
        Field(
            description="of a second graph that reads prompts; None: none; auto: bf16mix where "
            "the CPU multiplies in bfloat16 and precision is not fp32"
        ),
    ] = "auto"
    draft_precision: Annotated[
        DecodePrecision | None,
        Field(
            description="of a graph that guesses tokens for this one to check: a build of the same "
            "model, or of draft_card; None: no such, and draft_card runs in this precision"
        ),
    ] = None
    draft_card: Annotated[
        str | None,
        Field(description="a smaller model of the same vocabulary that guesses tokens; None: none"),
    ] = None
    kv_precision: Annotated[
        Literal["auto", "float", "int8"],
        Field(
            description="of keys and values; auto: int8 beside w8a16 and w8row, on CPUs "
            "that multiply bytes, where the model could be calibrated"
        ),
    ] = "auto"
    slots: Annotated[int, Field(ge=1, le=512, description="sequences in one batch")] = 16
    context: Annotated[int, Field(ge=64, description="tokens per sequence")] = 2048
    prefill_chunk: Annotated[
        int, Field(ge=16, description="most prompt tokens of one run; a step may have several")
    ] = 128
    prefix_cache_mb: Annotated[
        int, Field(ge=0, description="memory for prompts' beginnings that may come again; 0: none")
    ] = 512
    speculate: Annotated[
        int, Field(ge=0, le=32, description="tokens guessed at a time, where that pays; 0: none")
    ] = 8
    adapter_slots: Annotated[
        int, Field(ge=0, le=256, description="LoRA adapters in memory at once; 0: none are taken")
    ] = 0
    adapter_rank: Annotated[int, Field(ge=1, le=256, description="the largest rank taken")] = 16
    swap_mb: Annotated[
        int, Field(ge=0, description="memory for rows that gave way to more urgent requests")
    ] = 512


class EncoderEngine(Frozen):
    """How an encoder runs."""

    precision: Annotated[
        EncoderPrecision | Literal["auto"],
        Field(description="auto: the fastest that loses next to nothing on the machine at hand"),
    ] = "fp32"
    max_batch_tokens: Annotated[int, Field(ge=64, description="padded tokens per run")] = 8192
    max_wait_ms: Annotated[float, Field(ge=0, description="how long a batch gathers")] = 2.0


class Seq2SeqEngine(Frozen):
    """How an encoder-decoder runs."""

    precision: Seq2SeqPrecision = "fp32"
    slots: Annotated[
        int, Field(ge=1, le=512, description="rows in one decoding step: inputs times beams")
    ] = 32
    max_source_tokens: Annotated[int, Field(ge=8, description="tokens per input")] = 1024
    max_target_tokens: Annotated[int, Field(ge=8, description="tokens per output")] = 512
    max_batch_tokens: Annotated[
        int, Field(ge=64, description="padded source tokens per run of the encoder")
    ] = 8192
    max_wait_ms: Annotated[float, Field(ge=0, description="how long a batch gathers")] = 2.0


class ImageEngine(Frozen):
    """How an image model runs; which of the four kinds it is, its card says."""

    precision: ImagePrecision = "auto"
    rows: Annotated[
        int,
        Field(
            ge=1,
            le=512,
            description="of the network in one run; a picture is one, a guided step of it two",
        ),
    ] = 32
    max_images: Annotated[
        int, Field(ge=1, le=MAX_CANDIDATES, description="candidates of one request")
    ] = 16
    max_pixels: Annotated[
        int, Field(ge=64, le=MAX_PIXELS, description="of one picture, in or out")
    ] = 1024 * 1024
    max_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] = 250
    max_wait_ms: Annotated[float, Field(ge=0, description="how long a batch gathers")] = 2.0


class Deployment(Frozen):
    """One Serve application: one model on one kind of replica."""

    card: str | InstalledCard
    text: TextEngine | None = None
    encoder: EncoderEngine | None = None
    seq2seq: Seq2SeqEngine | None = None
    image: ImageEngine | None = None
    resources: Resources = Resources()
    scaling: Scaling = Scaling()
    queue: Queue = Queue()

    @model_validator(mode="after")
    def _one_family(self) -> Deployment:
        if len(self._families()) != 1:
            raise ValueError("give exactly one of text, encoder, seq2seq and image")
        return self

    @property
    def family(self) -> Family:
        return self._families()[0]

    def _families(self) -> list[Family]:
        engines = {
            Family.TEXT: self.text,
            Family.ENCODER: self.encoder,
            Family.SEQ2SEQ: self.seq2seq,
            Family.IMAGE: self.image,
        }
        return [family for family, engine in engines.items() if engine is not None]


class Price(Frozen):
    """Per million tokens, in the currency of the operator's choice."""

    input: Annotated[float, Field(ge=0)] = 0
    output: Annotated[float, Field(ge=0)] = 0


class TierBinding(Frozen):
    """A tier is a contract: which deployment, at what price and latency, and what stands in."""

    deployment: Name
    fallback: tuple[Tier, ...] = ()  # tried in order where the deployment's card is not installed
    spillover: tuple[Tier, ...] = ()  # tried in order where it is overloaded or cold
    price: Price = Price()
    ttft_p95_target_ms: Annotated[float, Field(gt=0)] | None = None


class AutoTier(Frozen):
    """What `auto` picks: the first rule whose bound holds the prompt, else `otherwise`."""

    max_prompt_characters: dict[Tier, Annotated[int, Field(gt=0)]] = {}
    otherwise: Tier = Tier.GECKO


class Limits(Frozen):
    """The gateway's bounds."""

    max_body_mb: Annotated[float, Field(gt=0, le=1024)] = 4.0
    max_image_body_mb: Annotated[
        float, Field(gt=0, le=1024, description="of requests under /v1/images")
    ] = 32.0
    image_url_minutes: Annotated[
        float, Field(gt=0, description="how long the URL of a picture opens")
    ] = 60.0
    image_store_mb: Annotated[
        float, Field(ge=64, description="pictures behind URLs; over it the oldest go first")
    ] = 512.0
    requests_per_minute: Annotated[int, Field(ge=1, description="per key")] = 6000
    request_timeout_s: Annotated[float, Field(gt=0)] = 600.0


class Gateway(Frozen):
    resources: Resources = Resources()
    scaling: Scaling = Scaling(target_ongoing_requests=128)
    max_ongoing_requests: Annotated[int, Field(ge=1)] = 1024
    limits: Limits = Limits()
    rate_limit_storage: Annotated[
        str, Field(description="URL of the `limits` library: memory:// or redis://host:port")
    ] = "memory://"
    public_url: Annotated[
        str | None,
        Field(
            pattern=r"^https?://",
            description="what callers reach the gateway under, for URLs of pictures; "
            "None: as each of them called it",
        ),
    ] = None
    open_metrics: Annotated[
        bool, Field(description="serve /metrics without a key; false: an admin key is asked for")
    ] = True


class Trainer(Frozen):
    """One process that trains."""

    cpus: Annotated[float, Field(ge=0, description="CPUs reserved in Ray's books")] = 1.0
    gpus: Annotated[float, Field(ge=0, description="GPUs of one trainer")] = 0
    memory_gib: Annotated[float, Field(gt=0)] | None = None
    threads: Annotated[int, Field(ge=1, description="that compute in one trainer")] = 1
    gives_way: Annotated[
        bool,
        Field(description="on CPUs it runs only while nothing else wants to (SCHED_IDLE)"),
    ] = True


class Tuning(Frozen):
    """The tuning job service."""

    resources: Resources = Resources(cpus=0.1)  # of the service, which only looks after trainers
    trainer: Trainer = Trainer()
    max_running: Annotated[int, Field(ge=1, le=1024, description="jobs at a time")] = 1
    max_stuck_attempts: Annotated[
        int, Field(ge=1, description="trainers that die one after the other without a new step")
    ] = 3
    max_file_mb: Annotated[float, Field(gt=0, le=65536, description="of one upload")] = 512.0
    max_examples: Annotated[int, Field(ge=1, description="of one file")] = 1_000_000
    price_per_cpu_hour: Annotated[float, Field(ge=0, description="for estimates of cost")] = 0.0


class Profile(Frozen):
    name: Name
    description: str = ""
    gateway: Gateway = Gateway()
    deployments: dict[Name, Deployment]
    tiers: dict[Tier, TierBinding]
    embedding: Name  # the deployment that embedding aliases and `embed` without a model mean
    tuning: Tuning | None = None  # None: nothing is tuned here
    auto: AutoTier = AutoTier()
    aliases: dict[str, str] = {}  # public name -> tier or card id or deployment

    @field_validator("tiers")
    @classmethod
    def _some_tier(cls, tiers: dict[Tier, TierBinding]) -> dict[Tier, TierBinding]:
        if not tiers:
            raise ValueError("bind at least one tier")
        return tiers

    @model_validator(mode="after")
    def _references(self) -> Profile:
        text = self._deployments_of(Family.TEXT)
        for tier, binding in self.tiers.items():
            _refer(("tiers", tier, "deployment"), binding.deployment, text, "a text deployment")
            others = tuple(str(other) for other in self.tiers if other != tier)
            for kind, names in (("fallback", binding.fallback), ("spillover", binding.spillover)):
                for index, other in enumerate(names):
                    _refer(
                        ("tiers", tier, kind, index), other, others, "another tier that is bound"
                    )
        encoders = self._deployments_of(Family.ENCODER)
        _refer(("embedding",), self.embedding, encoders, "an encoder deployment")
        bound = tuple(str(tier) for tier in self.tiers)
        for tier in self.auto.max_prompt_characters:
            _refer(("auto", "max_prompt_characters", tier), tier, bound, "a tier that is bound")
        _refer(("auto", "otherwise"), self.auto.otherwise, bound, "a tier that is bound")
        return self

    @property
    def trainer(self) -> Trainer:
        """Of its tuning jobs; the defaults where the profile has no section for them."""
        return Trainer() if self.tuning is None else self.tuning.trainer

    def _deployments_of(self, family: Family) -> tuple[str, ...]:
        return tuple(name for name, one in self.deployments.items() if one.family is family)


def _refer(path: tuple[str | int, ...], named: str, known: tuple[str, ...], what: str) -> None:
    if named not in known:
        path = tuple(part if isinstance(part, int) else str(part) for part in path)
        raise UnknownReference(f"{str(named)!r} is not {what}", path, str(named), known)
